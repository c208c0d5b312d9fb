//! `gateway check FILE`, as people and scripts see it.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Command, Output},
};

#[test]
fn a_sound_file_is_shown_and_ends_with_0() {
    let output = check(&[concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml")]);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = String::from_utf8(output.stdout).expect("it is text");
    assert!(shown.contains("gateway.toml: sound\n"), "{shown}");
    assert!(shown.contains("\n/api/orders "), "{shown}");
    assert!(output.stderr.is_empty());
}

#[test]
fn mistakes_go_to_standard_error_and_end_with_78() {
    let file = written("[limits]\nin_flight = 0\nconnections = \"many\"\n");

    let output = check(&[&file.display().to_string()]);

    fs::remove_file(&file).expect("it is still there");
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(output.stdout.is_empty());
    let name = file.display();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!(
            "{name}:2: limits.in_flight: must be at least 1\n\
             {name}:3: limits.connections: \"many\" must be a whole number\n"
        )
    );
}

#[test]
fn without_a_file_it_says_how_it_is_used() {
    for arguments in [&[][..], &["a", "b"]] {
        let output = check(arguments);

        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "usage: gateway check FILE\n");
    }
}

/// Runs the check without this process's environment.
fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gateway"))
        .arg("check")
        .args(arguments)
        .env_clear()
        .output()
        .expect("cargo has built the binary")
}

fn written(text: &str) -> PathBuf {
    let file = env::temp_dir().join(format!("gateway-check-{}.toml", process::id()));
    fs::write(&file, text).expect("the folder for temporary files takes one");
    file
}
