//! stub
#![allow(missing_docs)]
use super::arguments::{ExchangeKind, ExchangeOptions};
use super::refusal::Refusal;
use super::store::QueueId;
use std::collections::HashMap;
#[derive(Debug, Default)]
pub struct Exchanges {
    map: HashMap<String, (ExchangeOptions, Vec<(QueueId, String)>)>,
}
fn matches(p: &[&str], k: &[&str]) -> bool {
    match (p.first(), k.first()) {
        (None, None) => true,
        (Some(&"#"), _) => matches(&p[1..], k) || (!k.is_empty() && matches(p, &k[1..])),
        (Some(&"*"), Some(_)) => matches(&p[1..], &k[1..]),
        (Some(a), Some(b)) if a == b => matches(&p[1..], &k[1..]),
        _ => false,
    }
}
impl Exchanges {
    pub fn new() -> Self {
        let mut s = Self::default();
        for (n, kind) in [
            ("amq.direct", ExchangeKind::Direct),
            ("amq.fanout", ExchangeKind::Fanout),
            ("amq.topic", ExchangeKind::Topic),
        ] {
            s.map.insert(
                n.into(),
                (
                    ExchangeOptions {
                        kind,
                        durable: true,
                        auto_delete: false,
                        internal: false,
                        arguments: Default::default(),
                    },
                    vec![],
                ),
            );
        }
        s
    }
    pub fn is_internal(&self, n: &str) -> bool {
        self.map.get(n).is_some_and(|e| e.0.internal)
    }
    pub fn is_durable(&self, n: &str) -> bool {
        self.map.get(n).is_some_and(|e| e.0.durable)
    }
    pub fn passive(&self, n: &str, v: &str) -> Result<(), Refusal> {
        self.map.get(n).map(|_| ()).ok_or_else(|| Refusal::not_found("exchange", n, v))
    }
    pub fn declare(&mut self, n: &str, _v: &str, o: ExchangeOptions) -> Result<bool, Refusal> {
        if self.map.contains_key(n) {
            return Ok(false);
        }
        self.map.insert(n.into(), (o, vec![]));
        Ok(true)
    }
    pub fn delete(&mut self, n: &str, _v: &str, _u: bool) -> Result<(), Refusal> {
        self.map.remove(n);
        Ok(())
    }
    pub fn bind(&mut self, n: &str, q: QueueId, k: &str, v: &str) -> Result<bool, Refusal> {
        let e = self.map.get_mut(n).ok_or_else(|| Refusal::not_found("exchange", n, v))?;
        if e.1.iter().any(|b| b.0 == q && b.1 == k) {
            return Ok(false);
        }
        e.1.push((q, k.into()));
        Ok(true)
    }
    pub fn unbind(&mut self, n: &str, q: QueueId, k: &str, _v: &str) -> Result<Vec<String>, Refusal> {
        if let Some(e) = self.map.get_mut(n) {
            e.1.retain(|b| b.0 != q || b.1 != k);
        }
        Ok(vec![])
    }
    pub fn bindings_of(&self, n: &str) -> Vec<(QueueId, String)> {
        self.map.get(n).map(|e| e.1.clone()).unwrap_or_default()
    }
    pub fn bindings_to(&self, q: QueueId) -> Vec<(String, String)> {
        self.map
            .iter()
            .flat_map(|(n, e)| e.1.iter().filter(move |b| b.0 == q).map(move |b| (n.clone(), b.1.clone())))
            .collect()
    }
    pub fn forget_queue(&mut self, q: QueueId) -> Vec<String> {
        for e in self.map.values_mut() {
            e.1.retain(|b| b.0 != q);
        }
        vec![]
    }
    pub fn route(&self, n: &str, k: &str, out: &mut Vec<QueueId>) -> Result<(), Refusal> {
        let e = self.map.get(n).ok_or_else(|| Refusal::not_found("exchange", n, "/"))?;
        for (q, p) in &e.1 {
            let hit = match e.0.kind {
                ExchangeKind::Fanout => true,
                ExchangeKind::Direct => p == k,
                ExchangeKind::Topic => {
                    matches(&p.split('.').collect::<Vec<_>>(), &k.split('.').collect::<Vec<_>>())
                }
            };
            if hit && !out.contains(q) {
                out.push(*q);
            }
        }
        Ok(())
    }
}
