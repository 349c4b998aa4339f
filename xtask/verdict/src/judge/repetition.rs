//! What a number of boots can tell about a kernel that fails only sometimes. Pure.

use serde::{Deserialize, Serialize};

use super::{Asked, JudgedArm, examine_boot};
use crate::observe::Evidence;

/// Boots of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repetition {
    pub boots: u32,
    pub failed: u32,
    /// With 95 % confidence it fails in fewer than this share of boots; only when none failed.
    pub bound: Option<f64>,
}

/// Counts the boots of one arm that are not as they should be.
pub fn count(asked: &Asked<'_>, arm: JudgedArm, evidence: &Evidence) -> Repetition {
    let failed = evidence.boots().filter(|boot| !examine_boot(asked, arm, boot).is_empty()).count();
    Repetition::new(to_u32(evidence.boots().count()), to_u32(failed))
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Repetition {
    fn new(boots: u32, failed: u32) -> Repetition {
        // The share p for which N boots without a failure have a probability of 5 %: (1 - p)^N = 0.05.
        let bound = (failed == 0 && boots > 0).then(|| 1.0 - 0.05_f64.powf(1.0 / f64::from(boots)));
        Repetition { boots, failed, bound }
    }
}

impl std::fmt::Display for Repetition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} boots failed", self.failed, self.boots)?;
        match self.bound {
            Some(bound) => {
                write!(f, ": with 95 % confidence it fails in fewer than {:.1} % of boots", bound * 100.0)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_share_at_which_so_many_good_boots_are_five_percent_likely() {
        let said = |boots, failed| Repetition::new(boots, failed).to_string();
        assert_eq!(
            said(50, 0),
            "0 of 50 boots failed: with 95 % confidence it fails in fewer than 5.8 % of boots"
        );
        assert_eq!(
            said(1, 0),
            "0 of 1 boots failed: with 95 % confidence it fails in fewer than 95.0 % of boots"
        );
        assert_eq!(said(50, 2), "2 of 50 boots failed");
    }
}
