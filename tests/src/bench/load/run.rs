use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use super::connection::{Connection, End};
use super::{Job, Outcome};
use crate::bench::histogram::Histogram;
use crate::bench::poller::{Poller, Ready};
use crate::bench::usage::processor_nanos;

/// Between two attempts at a connection that could not be made.
const AGAIN: Duration = Duration::from_millis(20);

/// Does the job and returns what became of it.
///
/// # Errors
///
/// The system has no epoll left. What the server does wrong is no error: it is in the outcome.
pub fn run(job: &Job) -> io::Result<Outcome> {
    let mut load = Load::new(job)?;
    load.connect_all();
    load.go()?;
    Ok(load.outcome())
}

struct Load<'a> {
    job: &'a Job,
    poller: Poller,
    connections: Vec<Connection>,
    /// Those that wait for something to do. They take turns: a server may refuse one that is opened and says nothing.
    idle: VecDeque<usize>,
    /// Those without a connection.
    down: Vec<usize>,
    next_attempt: Instant,
    /// Requests begun so far, and those that have ended in whatever way.
    begun: u64,
    ended: u64,
    is_sending: bool,
    is_measuring: bool,
    histogram: Histogram,
    refusals: Histogram,
    seconds: f64,
    processor_nanos: Option<u64>,
    failed: BTreeMap<String, u64>,
}

impl<'a> Load<'a> {
    fn new(job: &'a Job) -> io::Result<Self> {
        Ok(Self {
            job,
            poller: Poller::new()?,
            connections: (0..job.connections).map(|_| Connection::new(&job.request)).collect(),
            idle: VecDeque::new(),
            down: (0..job.connections).collect(),
            next_attempt: Instant::now(),
            begun: 0,
            ended: 0,
            is_sending: true,
            is_measuring: false,
            histogram: Histogram::new(),
            refusals: Histogram::new(),
            seconds: 0.0,
            processor_nanos: None,
            failed: BTreeMap::new(),
        })
    }

    fn connect_all(&mut self) {
        for key in std::mem::take(&mut self.down) {
            match self.connections[key].connect(self.job.address, &self.poller, key) {
                Ok(()) => self.idle.push_back(key),
                Err(error) => {
                    self.fail(format!("cannot connect: {}", error.kind()));
                    self.down.push(key);
                }
            }
        }
        self.next_attempt = Instant::now() + AGAIN;
    }

    fn go(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        let measured_from = begin + self.job.warm_up;
        let mut measured_to = measured_from + self.job.time;
        let mut really_from = measured_from;
        let mut processor_before = None;
        let mut buffer = vec![0; 256 * 1024];
        let mut ready = Vec::new();

        loop {
            let now = Instant::now();
            // A thousand connections on a busy machine may take longer to warm up: each gets an answer first.
            let is_warm =
                self.ended >= self.connections.len() as u64 || now >= measured_from + self.job.patience;
            if self.is_sending && !self.is_measuring && now >= measured_from && is_warm {
                self.is_measuring = true;
                really_from = now;
                measured_to = now + self.job.time;
                processor_before = processor_nanos(&self.job.watched).ok();
            }
            if self.is_measuring && now >= measured_to {
                (self.is_sending, self.is_measuring) = (false, false);
                self.seconds = (now - really_from).as_secs_f64();
                let after = processor_nanos(&self.job.watched).ok();
                self.processor_nanos =
                    after.zip(processor_before).map(|(after, before)| after.saturating_sub(before));
            }
            if !self.is_sending && (self.under_way() == 0 || now >= measured_to + self.job.patience) {
                return Ok(());
            }

            let mut wake_at = match (self.is_sending, self.is_measuring) {
                (true, false) if now < measured_from => measured_from,
                (true, false) => measured_from + self.job.patience,
                (true, true) => measured_to,
                (false, _) => measured_to + self.job.patience,
            };
            if self.is_sending {
                if !self.down.is_empty() {
                    if now >= self.next_attempt {
                        self.connect_all();
                    }
                    wake_at = wake_at.min(self.next_attempt);
                }
                if let Some(due) = self.send_due(begin, now) {
                    wake_at = wake_at.min(due);
                }
            }

            ready.clear();
            self.poller.wait(Some(wake_at.saturating_duration_since(Instant::now())), &mut ready)?;
            for &Ready { key, ends } in &ready {
                let end = self.connections[key].go_on(&self.job.expected, &mut buffer, ends);
                self.ended(key, end);
            }
        }
    }

    /// Begins what is to be begun now; returns when the next request is due, where that depends on the clock.
    fn send_due(&mut self, begin: Instant, now: Instant) -> Option<Instant> {
        let Some(rate) = self.job.rate else {
            for key in std::mem::take(&mut self.idle) {
                self.begin(key, now);
            }
            return None;
        };
        loop {
            let due = begin + Duration::from_secs_f64(self.begun as f64 / rate);
            if due > now {
                return Some(due);
            }
            // All are busy: it is sent when one is free, and has waited since it was due.
            let key = self.idle.pop_front()?;
            self.begin(key, due);
        }
    }

    fn begin(&mut self, key: usize, due: Instant) {
        let number = self.begun;
        self.begun += 1;
        let end = self.connections[key].begin(due, number);
        if end.is_some() {
            self.ended(key, end);
        }
    }

    /// Puts a connection where it belongs after whatever happened on it.
    fn ended(&mut self, key: usize, end: Option<End>) {
        let connection = &mut self.connections[key];
        let Some(end) = end else {
            // Closed while it was idle, which a server may do.
            if !connection.is_connected() && !self.down.contains(&key) {
                self.idle.retain(|&idle| idle != key);
                self.down.push(key);
            }
            return;
        };
        self.ended += 1;
        let begun = connection.begun.take();
        let is_connected = connection.is_connected();
        let sent_at = connection.sent_at;
        let measured = begun.filter(|_| self.is_measuring);
        match end {
            End::Good => measured.into_iter().for_each(|begun| self.histogram.record(nanos_since(begun))),
            End::Refused(status) => {
                measured.into_iter().for_each(|_| self.refusals.record(nanos_since(sent_at)));
                self.fail(format!("status {status}"));
            }
            End::Bad(what) => self.fail(what),
        }
        if !is_connected {
            self.idle.retain(|&idle| idle != key);
            self.down.push(key);
            // One attempt at once: a server may close after any answer.
            self.next_attempt = Instant::now();
        } else if self.is_sending && self.job.rate.is_none() {
            self.begin(key, Instant::now());
        } else {
            self.idle.push_back(key);
        }
    }

    fn under_way(&self) -> usize {
        self.connections.iter().filter(|connection| connection.begun.is_some()).count()
    }

    fn fail(&mut self, what: String) {
        *self.failed.entry(what).or_default() += 1;
    }

    fn outcome(mut self) -> Outcome {
        let unanswered = self.under_way() as u64;
        if unanswered > 0 {
            self.failed.insert("no answer".to_owned(), unanswered);
        }
        Outcome {
            served: self.histogram.len(),
            seconds: self.seconds,
            processor_nanos: self.processor_nanos,
            p50: self.histogram.percentile(0.5),
            p99: self.histogram.percentile(0.99),
            p999: self.histogram.percentile(0.999),
            slowest: self.histogram.largest(),
            refused: self.refusals.len(),
            refused_p50: self.refusals.percentile(0.5),
            refused_p99: self.refusals.percentile(0.99),
            failed: self.failed,
        }
    }
}

fn nanos_since(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
