use common::telemetry::metrics::{Counter, Family, Gauge, Registry};

/// What is counted of the questions to the users service; registered once, handed to every generation.
#[derive(Clone, Debug)]
pub struct CustomersMetrics {
    /// Attempts that were answered.
    pub(super) answered: Counter,
    /// Attempts that failed.
    pub(super) failed: Counter,
    /// Attempts that the breaker did not let through.
    pub(super) refused: Counter,
    /// 1 from when the breaker opens until a probe succeeds.
    pub(super) breaker_open: Gauge,
}

impl CustomersMetrics {
    /// Registers `orders_customers_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let attempts: Family<[(&str, &str); 1], Counter> = Family::default();
        let of = |outcome| attempts.get_or_create_owned(&[("outcome", outcome)]);
        let metrics = Self {
            answered: of("answered"),
            failed: of("failed"),
            refused: of("refused"),
            breaker_open: Gauge::default(),
        };
        registry.register(
            "orders_customers_attempts",
            "Attempts to ask the users service for a customer, by outcome: refused by the breaker, or sent",
            attempts,
        );
        registry.register(
            "orders_customers_breaker_open",
            "1 from when the breaker to the users service opens until a probe succeeds",
            metrics.breaker_open.clone(),
        );
        metrics
    }
}
