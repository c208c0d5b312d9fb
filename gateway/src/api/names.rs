//! What the components of several documents are called in one.
//!
//! A component that two services describe alike is one; where they differ under one name, each is called
//! `<service>.<name>`. Components that lead to such a one differ too, though they read alike.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Kind and name of a component, such as `schemas` and `Problem`.
type Component = (String, String);

/// The names that mean different things in different documents.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Clashes(BTreeSet<Component>);

impl Clashes {
    /// Compares the components of all `documents`.
    pub(super) fn among<'a>(documents: impl Iterator<Item = &'a Value>) -> Self {
        let mut meanings: BTreeMap<Component, Vec<&Value>> = BTreeMap::new();
        for document in documents {
            for (component, meaning) in components(document) {
                meanings.entry(component).or_default().push(meaning);
            }
        }
        // What one document alone has cannot clash.
        meanings.retain(|_, meanings| meanings.len() > 1);
        let differ = |meanings: &[&Value]| meanings.windows(2).any(|pair| pair[0] != pair[1]);
        let mut clashes: BTreeSet<Component> = meanings
            .iter()
            .filter(|(_, meanings)| differ(meanings))
            .map(|(component, _)| component.clone())
            .collect();
        loop {
            let led: Vec<Component> = meanings
                .iter()
                .filter(|(component, meanings)| {
                    !clashes.contains(component) && leads_to(meanings[0], &clashes)
                })
                .map(|(component, _)| component.clone())
                .collect();
            if led.is_empty() {
                return Self(clashes);
            }
            clashes.extend(led);
        }
    }

    /// What a component of `upstream` is called among the others.
    pub(super) fn resolve(&self, upstream: &str, kind: &str, name: &str) -> String {
        match self.0.contains(&(kind.to_owned(), name.to_owned())) {
            true => format!("{upstream}.{name}"),
            false => name.to_owned(),
        }
    }

    /// Makes every reference within a part of `upstream`'s document lead to the new name.
    pub(super) fn rewrite(&self, upstream: &str, part: &mut Value) {
        match part {
            Value::Object(members) => {
                if let Some(reference) = members.get_mut("$ref")
                    && let Some((kind, name)) = reference.as_str().and_then(component_of)
                {
                    let name = self.resolve(upstream, kind, name);
                    *reference = format!("#/components/{kind}/{name}").into();
                }
                members.values_mut().for_each(|value| self.rewrite(upstream, value));
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.rewrite(upstream, value)),
            _ => {}
        }
    }
}

/// Every component of a document with its kind and name.
pub(super) fn components(document: &Value) -> impl Iterator<Item = (Component, &Value)> {
    let kinds = document["components"].as_object().into_iter().flatten();
    kinds.flat_map(|(kind, all)| {
        let all = all.as_object().into_iter().flatten();
        all.map(move |(name, meaning)| ((kind.clone(), name.clone()), meaning))
    })
}

fn leads_to(part: &Value, clashes: &BTreeSet<Component>) -> bool {
    match part {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(|reference| component_of(reference.as_str()?));
            reference.is_some_and(|(kind, name)| clashes.contains(&(kind.to_owned(), name.to_owned())))
                || members.values().any(|value| leads_to(value, clashes))
        }
        Value::Array(values) => values.iter().any(|value| leads_to(value, clashes)),
        _ => false,
    }
}

fn component_of(reference: &str) -> Option<(&str, &str)> {
    reference.strip_prefix("#/components/")?.split_once('/')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_names_that_mean_different_things_change() {
        let users = json!({ "components": { "schemas": {
            "Problem": { "type": "object" },
            "Page": { "items": [{ "$ref": "#/components/schemas/Item" }] },
            "Item": { "type": "string" },
            "User": {},
        } } });
        let mut orders = users.clone();
        orders["components"]["schemas"]["Item"] = json!({ "type": "integer" });

        let clashes = Clashes::among([&users, &orders].into_iter());

        // The page reads the same in both, but leads to different items.
        for (name, resolved) in [("Problem", "Problem"), ("Page", "orders.Page"), ("Item", "orders.Item")] {
            assert_eq!(clashes.resolve("orders", "schemas", name), resolved);
        }
        clashes.rewrite("orders", &mut orders);
        let item = &orders["components"]["schemas"]["Page"]["items"][0]["$ref"];
        assert_eq!(item, "#/components/schemas/orders.Item");
    }
}
