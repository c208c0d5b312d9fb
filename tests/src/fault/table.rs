//! How the embedded broker is, as a table.

use serde_json::Value;

use super::words::sentence;
use crate::broker::faults::Fired;

/// The status that the broker answered, for a person.
pub(super) fn table(status: &Value) -> String {
    let mut text = String::new();
    match status["blocked"].as_str() {
        Some(alarm) => text += &format!("publishers are blocked: {alarm}\n"),
        None => text += "publishers are not blocked\n",
    }
    if status["refusing"] == true {
        text += "new connections are closed at once\n";
    }
    let cells = |part: &str, fields: &[&str]| -> Vec<Vec<String>> {
        let all = status[part].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().map(|one| fields.iter().map(|field| cell(&one[field])).collect()).collect()
    };

    let mut connections = cells("connections", &["name", "vhost", "channels", "blocked", "stopped"]);
    connections.sort();
    text += &columns(&["connection", "vhost", "channels", "blocked", "silent"], &connections);
    let queues = cells("queues", &["name", "vhost", "waiting", "unacknowledged", "consumers", "bytes"]);
    text += &columns(&["queue", "vhost", "waiting", "unacked", "consumers", "bytes"], &queues);
    let rules: Vec<Fired> = serde_json::from_value(status["rules"].clone()).unwrap_or_default();
    let rules: Vec<Vec<String>> = rules
        .iter()
        .map(|Fired { id, rule, met, fired }| {
            vec![id.to_string(), sentence(rule), met.to_string(), fired.to_string()]
        })
        .collect();
    text += &columns(&["rule", "does", "met", "fired"], &rules);
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) | Value::Null => "-".into(),
        // A client names its connection as it likes.
        Value::String(text) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        other => other.to_string(),
    }
}

/// Rows below their titles, each column as wide as what is in it; a line where there are none.
fn columns(titles: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return format!("\nno {}s\n", titles[0]);
    }
    let titles: Vec<String> = titles.iter().map(|title| title.to_string()).collect();
    let all = || std::iter::once(&titles).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    std::iter::once("\n".to_owned()).chain(all().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::broker::faults::{Effect, Moment, Rule};

    #[test]
    fn connections_queues_and_rules_stand_in_columns() {
        let rule = Fired { id: 7, rule: Rule::new(Moment::PublishStored, Effect::Drop), met: 12, fired: 1 };
        let status = json!({
            "blocked": null, "refusing": true, "rules": [rule],
            "connections": [{"name": "users\u{1b}[2J", "vhost": "/", "channels": 2, "blocked": false, "stopped": true}],
            "queues": [
                {"name": "users.order-created", "vhost": "/", "waiting": 318, "unacknowledged": 0, "bytes": 4096,
                    "consumers": 1, "stranded": 0},
                {"name": "q", "vhost": "/", "waiting": 0, "unacknowledged": 0, "bytes": 0, "consumers": 0, "stranded": 0},
            ],
        });

        assert_eq!(
            table(&status),
            "publishers are not blocked\n\
             new connections are closed at once\n\
             \n\
             connection  vhost  channels  blocked  silent\n\
             users\u{fffd}[2J   /      2         -        yes\n\
             \n\
             queue                vhost  waiting  unacked  consumers  bytes\n\
             users.order-created  /      318      0        1          4096\n\
             q                    /      0        0        0          0\n\
             \n\
             rule  does                          met  fired\n\
             7     drop at publish-stored, once  12   1\n"
        );
    }

    #[test]
    fn what_is_not_there_is_said_so() {
        let status =
            json!({"blocked": "on demand", "refusing": false, "connections": [], "queues": [], "rules": []});

        assert_eq!(
            table(&status),
            "publishers are blocked: on demand\n\nno connections\n\nno queues\n\nno rules\n"
        );
    }
}
