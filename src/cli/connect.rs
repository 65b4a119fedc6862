//! The client, and what went wrong as sentences.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};

use super::args::Connection;

/// Why a command did not do what was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// For the person in front of the terminal.
    pub sentence: String,
}

impl Failure {
    /// It was tried and did not work.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self { code: 1, sentence: sentence.into() }
    }

    /// What was named is not there.
    pub fn absent(sentence: impl Into<String>) -> Self {
        Self { code: 2, sentence: sentence.into() }
    }

    /// What the API server answered to a request about `what`.
    pub fn of(error: &Error, what: &str) -> Self {
        match error {
            // Only the answer for an object names it; one for a path that nobody serves does not.
            Error::Api(status) if status.code == 404 && !names_an_object(status) => Self::absent(
                "This cluster does not know the kind TradingBot. Install the operator first: kubectl apply -f manifests/install.yaml",
            ),
            Error::Api(status) if status.code == 404 => {
                Self::absent(format!("{what} is not there. See what is: kubectl tradingbot status"))
            }
            Error::Api(status) if status.code == 403 || status.code == 401 => Self::failed(format!(
                "You are not allowed to do this with {what}: {}. Ask for the role tradingbot-operator-edit, or -view to look only.",
                status.message
            )),
            Error::Api(status) => Self::failed(format!("The API server refused {what}: {}", status.message)),
            other => Self::failed(format!(
                "The API server does not answer: {}. Check the kubeconfig and the network.",
                with_causes(other)
            )),
        }
    }
}

fn names_an_object(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_some_and(|d| !d.name.is_empty())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// The client, and the namespace to look in.
pub async fn connect(connection: &Connection) -> Result<(Client, String), Failure> {
    let Connection { kubeconfig, context, namespace } = connection;
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let advice = "Name a kubeconfig with --kubeconfig or KUBECONFIG, and one of its contexts with --context.";
    let unusable = |error: &dyn std::error::Error| {
        Failure::absent(format!("There is no usable kubeconfig: {}. {advice}", with_causes(error)))
    };
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|e| unusable(&e))?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(|e| unusable(&e))?
        }
        None => Config::from_kubeconfig(&options).await.map_err(|e| unusable(&e))?,
    };
    let namespace = namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|e| unusable(&e))?;
    Ok((client, namespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn answer(code: u16, name: &str) -> Error {
        let details = serde_json::from_value(serde_json::json!({"name": name})).unwrap();
        let mut status = Status::failure("no", "Reason").with_code(code);
        status.details = Some(details);
        Error::Api(status.boxed())
    }

    #[test]
    fn absent_bots_and_absent_kinds_are_told_apart() {
        let bot = Failure::of(&answer(404, "doge"), "TradingBot doge in namespace money");
        assert_eq!((bot.code, bot.sentence.starts_with("TradingBot doge in namespace money is not there.")), (2, true));
        let kind = Failure::of(&answer(404, ""), "TradingBot doge");
        assert!(kind.code == 2 && kind.sentence.contains("Install the operator first"));
    }

    #[test]
    fn a_refusal_says_which_role_is_missing() {
        let failure = Failure::of(&answer(403, "doge"), "TradingBot doge");
        assert!(failure.code == 1 && failure.sentence.contains("tradingbot-operator-edit"), "{failure:?}");
    }
}
