/// Marks a resource that is there for those who run the system, and for its own parts: what is asked there is measured by
/// route like everything else, but is no traffic. The probes alone would make an idle service look busy.
pub struct NoTraffic;
