//! The container as the agent's loop sees it.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tradingbot::agent::shell::{Board, Hook, HookFailure, Machine, MachineEvent, Validity};
use tradingbot::core::agent::{Exit, Leadership};
use tradingbot::core::gate::Passage;
use tradingbot::core::time::Mono;

use super::bot::Body;
use crate::world::random::Random;

/// The agent's side of a container.
pub struct Inside {
    body: Body,
    events: mpsc::UnboundedReceiver<MachineEvent>,
    random: Random,
}

impl Inside {
    /// The agent's side of this container.
    pub fn new(body: Body, events: mpsc::UnboundedReceiver<MachineEvent>, random: Random) -> Self {
        Self { body, events, random }
    }
}

impl Machine for Inside {
    fn now(&self) -> Mono {
        self.body.now()
    }

    async fn next(&mut self) -> MachineEvent {
        match self.events.recv().await {
            Some(event) => {
                if matches!(event, MachineEvent::Exited(_)) {
                    self.body.take_exit();
                }
                event
            }
            None => std::future::pending().await,
        }
    }

    fn reap(&mut self) -> Option<Exit> {
        self.body.take_exit()
    }

    fn start(&mut self, role: Leadership) -> Result<i32, String> {
        Ok(self.body.start(role))
    }

    fn terminate(&mut self) {
        self.body.terminate();
    }

    fn sweep(&mut self, _lost: bool) -> Option<BoxFuture<'static, ()>> {
        self.body.kill();
        self.random.percent(50).then(|| sleep(self.random.millis(1, 5)).boxed())
    }

    fn drain(&mut self, _lease: Duration) -> BoxFuture<'static, ()> {
        sleep(self.random.millis(0, 30)).boxed()
    }

    fn call(&mut self, _hook: Hook, _role: Leadership) -> BoxFuture<'static, Result<(), HookFailure>> {
        let time = self.random.millis(5, 300);
        async move {
            sleep(time).await;
            Ok(())
        }
        .boxed()
    }

    fn call_switch(&mut self, _role: Leadership) -> BoxFuture<'static, Result<(), String>> {
        std::future::ready(Ok(())).boxed()
    }

    fn read_credentials(&mut self) {}

    fn drop_credentials(&mut self) {}

    fn guard(&mut self, deadline: Option<Mono>) {
        self.body.guard(deadline);
    }

    fn fired(&self) -> u32 {
        self.body.fired()
    }

    fn gate(&mut self, _passage: Passage) {}

    fn show(&mut self, leadership: Leadership, validity: Validity) {
        self.body.show(leadership, validity);
    }

    fn publish(&mut self, board: Board) {
        self.body.publish(board);
    }
}
