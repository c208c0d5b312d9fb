//! What `warren chaos` accepts.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::fault::{BrokerChoice, Kind};

/// Longer runs are several.
const LONGEST_MINUTES: f64 = 24.0 * 60.0;

/// What `warren chaos` accepts.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How long faults are injected, such as 10 or 0.5
    #[arg(long, default_value = "10", value_name = "N", value_parser = minutes)]
    pub minutes: Duration,

    /// The seed of the plan; one that nobody chose, if not given
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,

    /// The broker
    #[arg(long, value_enum, default_value_t = BrokerChoice::Embedded)]
    pub broker: BrokerChoice,

    /// Where data and logs are meanwhile; the folder of temporary files, if not given. They stay there when something was
    /// found
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// How many orders a second are wished for while all is well
    #[arg(long, default_value = "500", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,

    /// Inject only this kind of fault; may be given again for others
    #[arg(long, value_enum, value_name = "KIND")]
    pub only: Vec<Kind>,

    /// Print the plan and do nothing
    #[arg(long)]
    pub plan: bool,

    /// Write the receipt to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Options {
    /// Says what does not go together.
    ///
    /// # Errors
    ///
    /// In a sentence for whoever asked for it.
    pub fn check(&self) -> Result<(), String> {
        let impossible = self.only.iter().find(|kind| !kind.is_possible_on(self.broker));
        match impossible {
            Some(kind) => Err(format!(
                "--only {}: {} cannot be told to do that; --broker embedded can",
                kind.name(),
                self.broker
            )),
            None => Ok(()),
        }
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes <= LONGEST_MINUTES => {
            Ok(Duration::from_secs_f64(minutes * 60.0))
        }
        _ => Err(format!("must be a number of minutes above 0 and up to {LONGEST_MINUTES}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let arguments = [&["chaos"], arguments].concat();
        let options = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?.options;
        options.check().map(|()| options)
    }

    #[test]
    fn minutes_may_be_parts_of_one() {
        assert_eq!(parse(&["--minutes", "0.5"]).map(|options| options.minutes), Ok(Duration::from_secs(30)));
        assert_eq!(parse(&[]).map(|options| options.minutes), Ok(Duration::from_secs(600)));
        for wrong in ["0", "-1", "NaN", "inf", "ten", "100000"] {
            let error = parse(&[&format!("--minutes={wrong}")]).map(drop).expect_err("no such time");
            assert!(error.contains("must be a number of minutes"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_rabbitmq_cannot_be_told_is_refused_by_name() {
        let arguments = ["--only", "kill", "--only", "drop-at", "--broker"];
        assert!(parse(&[&arguments[..], &["embedded"]].concat()).is_ok());
        let error = parse(&[&arguments[..], &["rabbitmq"]].concat()).map(drop).expect_err("it cannot");
        assert!(error.contains("--only drop-at") && error.contains("--broker embedded"), "{error}");
    }
}
