//! `gateway check FILE`: says beforehand what a start or a reload with the file would say.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use common::{config::Environment, service::MISCONFIGURED};

use crate::settings::{Overrides, Settings};

/// Prints what `file` means together with this process's environment, or everything that is wrong with either; the
/// exit code says which.
pub fn check(file: &Path) -> ExitCode {
    let mut env = Environment::from_process();
    match judge(file, &mut env) {
        Ok(summary) => {
            // Whoever reads may have read enough.
            let _ = writeln!(io::stdout(), "{summary}");
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            let _ = writeln!(io::stderr(), "{mistakes}");
            ExitCode::from(MISCONFIGURED)
        }
    }
}

fn judge(file: &Path, env: &mut Environment) -> Result<String, String> {
    let overrides = Overrides::from_env(env);
    let settings = Settings::load(Some(file), &overrides);
    let mut mistakes: Vec<String> = settings.as_ref().err().map(ToString::to_string).into_iter().collect();
    mistakes.extend(env.take_mistakes().into_iter().map(|mistake| format!("environment: {mistake}")));
    match settings {
        Ok(settings) if mistakes.is_empty() => {
            Ok(format!("{}: sound\n{}", file.display(), settings.summary()))
        }
        _ => Err(mistakes.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::*;

    fn judged(text: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        // Tests of one name never run at the same time.
        let name = std::thread::current().name().unwrap_or_default().replace("::", "-");
        let file = env::temp_dir().join(format!("gateway-{}-{name}.toml", process::id()));
        fs::write(&file, text).expect("the folder for temporary files takes one");
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let judged = judge(&file, &mut Environment::from_pairs(pairs));
        fs::remove_file(&file).expect("it is still there");
        let short = |text: String| text.replace(&file.display().to_string(), "FILE");
        judged.map(short).map_err(short)
    }

    #[test]
    fn a_sound_file_is_shown_as_the_environment_makes_it() {
        let summary = judged("[limits]\nin_flight = 7", &[("AUTH", "open")]).expect("the file is sound");

        assert!(summary.starts_with("FILE: sound\nroute "), "{summary}");
        assert!(summary.ends_with("auth open; 7 requests at a time in all; CORS off"), "{summary}");
    }

    #[test]
    fn mistakes_of_file_and_environment_are_shown_together() {
        let mistakes =
            judged("[limits]\nin_fligt = 7", &[("AUTH", "maybe")]).expect_err("there are two mistakes");

        let lines: Vec<&str> = mistakes.lines().collect();
        assert_eq!(lines.len(), 2, "{mistakes}");
        assert!(
            lines[0].starts_with("FILE:2: limits.in_fligt: is no key here; known are in_flight,"),
            "{mistakes}"
        );
        assert_eq!(lines[1], "environment: AUTH must be \"open\" or \"required\", not \"maybe\"");
    }
}
