//! What the embedded broker does wrong when it is told to, at every moment where it can be told. Each story has a broker of
//! its own.

use warren::harness::Story;

mod orders;

mod at_publishes;

mod at_deliveries;

mod at_acknowledgements;

mod at_methods;

pub fn stories() -> Vec<Story> {
    [
        orders::stories(),
        at_publishes::stories(),
        at_deliveries::stories(),
        at_acknowledgements::stories(),
        at_methods::stories(),
    ]
    .concat()
}
