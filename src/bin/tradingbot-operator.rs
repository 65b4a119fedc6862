//! The operator: `tradingbot-operator run`, and `tradingbot-operator crds` to print the kinds that it serves.

use std::process::ExitCode;

use tradingbot::controller::run::{Settings, run};
use tradingbot::runtime::telemetry;

const USAGE: &str = "usage: tradingbot-operator run | crds\n
run   serve all TradingBots; settings come from the environment: POD_NAME, POD_NAMESPACE, POD_UID, OPERATOR_IMAGE, \
                     WATCH_NAMESPACES (all), ADMIN_ADDRESS (0.0.0.0:8080), LOG (info), LOG_FORMAT (text or json)
crds  print the CustomResourceDefinitions as YAML";

#[tokio::main]
async fn main() -> ExitCode {
    #[cfg(feature = "wrong")]
    tradingbot::core::wrong::choose_named(std::env::var("TRADINGBOT_WRONG").ok());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run"] => serve().await,
        ["crds"] => {
            for crd in tradingbot::api::crds::all() {
                print!("---\n{}", tradingbot::api::crds::yaml(&crd));
            }
            Ok(())
        }
        ["--version"] => {
            println!("tradingbot-operator {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), String> {
    let settings = Settings::from_environment(|name| std::env::var(name).ok())?;
    telemetry::start(settings.log_format, &settings.log_filter)?;
    run(settings).await
}
