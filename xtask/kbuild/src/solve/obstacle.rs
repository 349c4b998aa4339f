//! Why a way to an assignment does not lead on, in words for people.

use super::MAX_STEPS;
use crate::kconfig::KconfigEntry;

/// Longer chains say no more.
const MAX_TEXT: usize = 600;

/// Why a way does not lead on.
#[derive(Debug, Clone)]
pub(super) enum Obstacle {
    Undefined(String),
    Why(String),
    /// A cheaper way is known.
    Dear,
    TooLong,
}

impl Obstacle {
    pub(super) fn text(&self) -> String {
        match self {
            Obstacle::Undefined(symbol) => format!("CONFIG_{symbol} is not defined for this architecture"),
            Obstacle::Why(text) => text.clone(),
            Obstacle::Dear => "another way is cheaper".into(),
            Obstacle::TooLong => format!("no answer within {MAX_STEPS} steps"),
        }
    }
}

pub(super) type ObstacleStep = Result<(), Obstacle>;

pub(super) fn because(entry: &KconfigEntry, what: &str, obstacle: Obstacle) -> Obstacle {
    match obstacle {
        Obstacle::Undefined(symbol) => Obstacle::Why(format!(
            "CONFIG_{} depends on {symbol}, which this architecture does not define ({})",
            entry.symbol, entry.place
        )),
        obstacle => prefixed(format!("CONFIG_{} {what} ({})", entry.symbol, entry.place), obstacle),
    }
}

pub(super) fn prefixed(text: String, obstacle: Obstacle) -> Obstacle {
    match obstacle {
        Obstacle::Dear | Obstacle::TooLong => obstacle,
        Obstacle::Why(why) if why.len() > MAX_TEXT => Obstacle::Why(why),
        obstacle => Obstacle::Why(format!("{text}: {}", obstacle.text())),
    }
}
