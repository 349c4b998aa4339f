//! The outside of every scenario's program: PID 1 starts it with one [`Order`] as JSON, and it prints one
//! [`Answer`] as JSON. It measures and never judges.

use protocol::{Answer, Measured, Order};

/// Runs `body` on the order in the first argument, and answers.
pub fn run(body: impl FnOnce(&Order) -> Result<Measured, String>) {
    let answer = match std::env::args().nth(1) {
        Some(order) => serde_json::from_str(&order)
            .map_err(|error| format!("the order {order:?} is not one: {error}"))
            .and_then(|order| body(&order)),
        None => Err("started without an order".to_owned()),
    };
    let answer = answer.map_or_else(Answer::Broken, |measured| Answer::Measured(Box::new(measured)));
    println!("{}", serde_json::to_string(&answer).expect("an answer is plain data with string keys"));
}
