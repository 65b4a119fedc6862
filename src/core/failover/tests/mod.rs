//! Scenarios: operator rounds against a small world of pods, kubelets and agents that do what they should.

mod account;
mod account_race;
mod account_rules;
mod agent;
mod asked;
mod candidates;
mod crashes;
mod evidence;
mod invariants;
mod lost;
mod outage;
mod planned;
mod policy;
mod reconcile;
mod restore;
mod restore_jobs;
mod restore_schedules;
mod rollout;
mod rules;
mod shared_account;
mod start;
mod stopping;
mod tampering;
mod world;
