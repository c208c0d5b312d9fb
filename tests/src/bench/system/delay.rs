use std::error::Error;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::json;
use tokio::time::sleep;

use super::orders;
use super::running::{Running, id_of};
use crate::bench::histogram::Histogram;
use crate::bench::load::Outcome;

/// All orders a second, of which the watched ones are a few.
const RATE: f64 = 1000.0;

/// Customers whose orders are watched; each has one on its way at a time.
const WATCHED: usize = 8;

/// Between two orders of a watched customer: together some 50 a second, so that watching is not what is measured.
const PAUSE: Duration = Duration::from_millis(150);

/// Between two looks. A delay counts until the answer that shows the order has come, so it is too long by up to this and
/// one GET.
const LOOK: Duration = Duration::from_millis(1);

/// Returns how long the 201 takes at the fixed rate, and how long after it the order is counted.
pub(super) async fn measure(system: &Running, time: Duration) -> Result<(Outcome, Outcome), Box<dyn Error>> {
    let mut customers = Vec::new();
    for number in 0..WATCHED {
        customers.push(system.register(number).await?);
    }
    let begin = Instant::now() + time / 5;
    let watch = join_all(customers.iter().map(|customer| watch(system, customer, begin, begin + time)));
    let (orders, delays) = join(orders::at_a_rate(system, time, RATE), watch).await;

    let mut histogram = Histogram::new();
    for delays in delays {
        delays?
            .into_iter()
            .for_each(|delay| histogram.record(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)));
    }
    let delays = Outcome {
        served: histogram.len(),
        seconds: time.as_secs_f64(),
        p50: histogram.percentile(0.5),
        p99: histogram.percentile(0.99),
        p999: histogram.percentile(0.999),
        slowest: histogram.largest(),
        ..Outcome::default()
    };
    Ok((orders?, delays))
}

async fn watch(
    system: &Running,
    customer: &str,
    begin: Instant,
    end: Instant,
) -> Result<Vec<Duration>, String> {
    let body = json!({ "userId": customer, "items": ["a watched one"] });
    let mut delays = Vec::new();
    for ordered in 1.. {
        let call = system.gateway.post("/api/orders").json(&body);
        let answer = call.send().await.map_err(|error| error.to_string())?;
        let answered = Instant::now();
        id_of(&answer)?;
        while system.order_count(customer).await? < ordered {
            sleep(LOOK).await;
        }
        if answered >= begin {
            delays.push(answered.elapsed());
        }
        if Instant::now() >= end {
            break;
        }
        sleep(PAUSE).await;
    }
    Ok(delays)
}
