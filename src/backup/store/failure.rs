//! From an error of a store to a sentence: which destination, what, and what to do.

use std::error::Error as StdError;
use std::io;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;

use crate::core::backup::report::{Failure, FailureReason};

/// What servers say when they take no more.
const FULL: [&str; 8] = [
    " 507 ",
    "507 Insufficient",
    "InsufficientStorage",
    "XMinioStorageFull",
    "QuotaExceeded",
    "quotaExceeded",
    "No space left on device",
    "AccountQuotaExceeded",
];
/// What they say when there is no such bucket.
const NO_BUCKET: [&str; 4] =
    ["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist", "The specified container does not"];
/// What they say when they do not know who asks.
const UNKNOWN_CALLER: [&str; 6] = [
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "AuthenticationFailed",
    "invalid_grant",
    "InvalidAuthenticationInfo",
];
/// Addresses that clouds tell their own machines who they are at.
const IDENTITY_SERVICES: [&str; 3] = ["169.254.169.254", "169.254.170.", "metadata.google.internal"];

/// The longest cause that a sentence repeats.
const LONGEST_CAUSE: usize = 300;

/// The failure of a run.
pub(super) fn of(name: &str, doing: &str, path: &Path, error: &Error) -> Failure {
    let text = whole(error);
    let cause = cause(error);
    let says = |any: &[&str]| any.iter().any(|what| text.contains(what));
    let http = chain(error).find_map(|error| error.downcast_ref::<HttpError>()).map(HttpError::kind);
    let file = chain(error).find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    let (reason, what, to_do) = if says(&FULL) || file == Some(io::ErrorKind::StorageFull) {
        (FailureReason::DestinationFull, "takes no more", "Free space there or raise its quota")
    } else if says(&NO_BUCKET) {
        (FailureReason::Misconfigured, "is not there", "Make it, or correct its name in spec.backup")
    } else if says(&IDENTITY_SERVICES) {
        (
            FailureReason::DestinationRefused,
            "was not asked: no Secret is set, and the pod's service account has no identity in that cloud",
            "Set secretName, or give spec.backup.serviceAccountName an account with rights there",
        )
    } else if matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
        || says(&UNKNOWN_CALLER)
        || file == Some(io::ErrorKind::PermissionDenied)
    {
        (
            FailureReason::DestinationRefused,
            "refuses",
            "Check the keys in its Secret and that they may read, write, list and delete there",
        )
    } else if file == Some(io::ErrorKind::ReadOnlyFilesystem) {
        (FailureReason::DestinationRefused, "is read-only", "Mount a volume there that can be written")
    } else if http.is_some_and(|kind| !matches!(kind, HttpErrorKind::Decode)) {
        (
            FailureReason::DestinationUnreachable,
            "does not answer",
            "Check its address, the network policies on the way, and its certificate",
        )
    } else if matches!(error, Error::NotFound { .. }) {
        (FailureReason::NotFound, "has no such object", "Look whether somebody removed it, or the bucket's rules did")
    } else {
        (FailureReason::DestinationUnreachable, "answers with an error", "See whether the service is well")
    };
    Failure::new(reason, format!("{doing} {path} failed: {name} {what} ({cause}). {to_do}."))
}

fn chain(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |error| (*error).source())
}

fn whole(error: &Error) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What the server says, or the innermost cause.
pub(super) fn cause(error: &Error) -> String {
    let text = whole(error);
    let tag = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner.trim().to_owned())
    };
    let said = match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => chain(error).last().map(ToString::to_string).unwrap_or_default(),
    };
    let plain: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    plain.trim_end_matches('.').chars().take(LONGEST_CAUSE).collect()
}

/// The object is not there, and the bucket is.
pub(super) fn object_is_absent(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !NO_BUCKET.iter().any(|what| whole(error).contains(what))
}

/// The server does not know such a request.
pub(super) fn is_not_implemented(error: &Error) -> bool {
    matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. })
        || ["501 Not Implemented", "NotImplemented"].iter().any(|what| whole(error).contains(what))
}

/// The store does not let an object go: a lock, a hold, a retention of its own, or no right to remove.
pub(super) fn is_locked(error: &Error) -> bool {
    matches!(error, Error::PermissionDenied { .. } | Error::AlreadyExists { .. } | Error::Precondition { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    fn denied(text: &str) -> Error {
        Error::PermissionDenied { path: "p".into(), source: text.to_owned().into() }
    }

    #[test]
    fn every_failure_says_which_destination_what_and_what_to_do() {
        let xml = "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>";
        for (error, reason, part) in [
            (denied(xml), FailureReason::DestinationRefused, "(AccessDenied: Access Denied). Check the keys"),
            (generic("status code: 507 Insufficient Storage: "), FailureReason::DestinationFull, "Free space"),
            (generic("XMinioStorageFull"), FailureReason::DestinationFull, "takes no more"),
            (
                Error::Generic { store: "Local", source: Box::new(io::Error::from_raw_os_error(28)) },
                FailureReason::DestinationFull,
                "takes no more",
            ),
            (
                Error::NotFound { path: "p".into(), source: "<Code>NoSuchBucket</Code>".into() },
                FailureReason::Misconfigured,
                "correct its name",
            ),
            (
                generic("error sending request for url (http://169.254.169.254/latest/api/token)"),
                FailureReason::DestinationRefused,
                "no Secret is set",
            ),
            (
                Error::Generic {
                    store: "S3",
                    source: Box::new(HttpError::new(HttpErrorKind::Connect, io::Error::other("refused"))),
                },
                FailureReason::DestinationUnreachable,
                "does not answer",
            ),
        ] {
            let failure = of("the bucket 'b' at http://s3", "Writing", &Path::from("x/y"), &error);
            assert_eq!(failure.reason, reason, "{failure}");
            assert!(failure.message.starts_with("Writing x/y failed: the bucket 'b' at http://s3 "), "{failure}");
            assert!(failure.message.contains(part), "{failure}");
        }
    }

    #[test]
    fn a_bucket_that_is_not_there_is_no_absent_object() {
        let absent =
            |text: &str| object_is_absent(&Error::NotFound { path: "p".into(), source: text.to_owned().into() });
        assert!(absent("<Code>NoSuchKey</Code>"));
        assert!(!absent("<Code>NoSuchBucket</Code>"));
    }
}
