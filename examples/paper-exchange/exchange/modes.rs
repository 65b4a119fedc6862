//! How the exchange misbehaves when it is told to.

use std::time::{Duration, Instant};

use serde::Deserialize;

/// Kinds of requests that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Class {
    /// Every request of a client.
    All,
    /// Placing orders.
    Orders,
    /// Cancelling, the dead-man timer too.
    Cancels,
    /// Everything that changes nothing.
    Reads,
    /// Reports of reconciliations.
    Reconciliations,
}

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Mode {
    Ok,
    /// Refuses it: too many requests.
    #[serde(rename = "429")]
    TooMany,
    /// Refuses it: internal error.
    #[serde(rename = "500")]
    Broken,
    /// Carries it out at once and answers late.
    Slow,
    /// Carries it out at once and never answers.
    AcceptedButTimesOut,
}

/// One order to misbehave.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    #[serde(default = "Setting::all")]
    pub class: Class,
    pub mode: Mode,
    /// How late `Slow` answers.
    #[serde(default)]
    pub milliseconds: u64,
    /// Only for so many requests.
    pub count: Option<u64>,
    /// Only for so long.
    pub for_milliseconds: Option<u64>,
    /// Only for this account.
    pub account: Option<String>,
}

impl Setting {
    fn all() -> Class {
        Class::All
    }
}

/// What to do with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Serve,
    Refuse(u16),
    ServeThenWait(Duration),
    ServeAndStayMute,
}

/// All settings in force.
#[derive(Default)]
pub struct Modes(Vec<(Setting, Option<Instant>)>);

impl Modes {
    /// Replaces what was set for the same class and account; `Ok` for `All` without an account ends everything.
    pub fn set(&mut self, setting: Setting) {
        let everything = setting.class == Class::All && setting.account.is_none();
        self.0.retain(|(old, _)| !everything && (old.class != setting.class || old.account != setting.account));
        if setting.mode != Mode::Ok {
            let until = setting.for_milliseconds.map(|for_ms| Instant::now() + Duration::from_millis(for_ms));
            self.0.push((setting, until));
        }
    }

    /// What to do with a request of this class and account that came now.
    pub fn take(&mut self, class: Class, account: &str) -> Verdict {
        let now = Instant::now();
        self.0.retain(|(setting, until)| until.is_none_or(|until| now < until) && setting.count != Some(0));
        let meant = |setting: &Setting| {
            (setting.class == class || setting.class == Class::All)
                && setting.account.as_deref().is_none_or(|only| only == account)
        };
        let Some((setting, _)) = self.0.iter_mut().rev().find(|(setting, _)| meant(setting)) else {
            return Verdict::Serve;
        };
        setting.count = setting.count.map(|left| left - 1);
        match setting.mode {
            Mode::Ok => Verdict::Serve,
            Mode::TooMany => Verdict::Refuse(429),
            Mode::Broken => Verdict::Refuse(500),
            Mode::Slow => Verdict::ServeThenWait(Duration::from_millis(setting.milliseconds)),
            Mode::AcceptedButTimesOut => Verdict::ServeAndStayMute,
        }
    }
}
