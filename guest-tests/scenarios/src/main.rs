//! The guest stress tests. Started by PID 1 with one [`protocol::Order`] as JSON; prints one
//! [`protocol::Answer`] as JSON. It measures and never judges.

mod exit;
mod munmap;

use kit::measure::{Operation, measure};
use protocol::{Answer, Order};

/// Every scenario: its name and the operation that is measured. A new one is a file and a line here.
#[rustfmt::skip]
const SCENARIOS: &[(&str, Operation)] = &[
    ("munmap", munmap::operate),
    ("exit", exit::operate),
];

fn main() {
    let answer = match std::env::args().nth(1) {
        Some(order) => run(&order),
        None => Err("started without an order".to_owned()),
    };
    let answer = answer.unwrap_or_else(Answer::Broken);
    println!("{}", serde_json::to_string(&answer).expect("an answer is plain data with string keys"));
}

fn run(order: &str) -> Result<Answer, String> {
    let order: Order =
        serde_json::from_str(order).map_err(|error| format!("the order {order:?} is not one: {error}"))?;
    let name = &order.ask.name;
    let scenario = SCENARIOS.iter().find(|(known, _)| known == name);
    let Some((_, operation)) = scenario else {
        let known: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no scenario {name:?}; there are {}", known.join(", ")));
    };
    measure(&order, *operation).map(Answer::Measured)
}
