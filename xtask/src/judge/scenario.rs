//! Looks at what one scenario measured: whether it met its demand, and whether its counts are those of the mechanism
//! that the arm must have. Where a number is known, it is compared exactly.

use protocol::{Counts, Measured, PageTables};

use super::finding::{Arm, Asked, Findings, Weight};
use crate::config::{Demand, ExpectedCount, Mechanism, Scenario};
use crate::evidence::{Outcome, Ran};
use crate::witness::{Counted, Witness};

/// Everything that stands between this scenario and a pass.
pub fn examine_scenario(found: &mut Findings, asked: &Asked<'_>, arm: Arm, scenario: &Scenario, ran: &Ran) {
    let name = &scenario.name;
    let outcome = ran.scenarios.iter().find(|ran| ran.name == *name).map(|ran| &ran.outcome);
    let measured = match outcome {
        Some(Outcome::Measured(measured)) => measured,
        Some(Outcome::Broken(why)) => {
            return found.gap(Weight::Vacuous, format!("{name}: not carried out: {why}"));
        }
        Some(Outcome::Unfinished) => {
            return found.gap(Weight::Vacuous, format!("{name}: begun and not finished"));
        }
        None => return found.gap(Weight::Vacuous, format!("{name}: planned and not run")),
    };
    if measured.lost_events != 0 {
        found.gap(Weight::Vacuous, format!("{name}: {} trace events were lost", measured.lost_events));
    }
    let bystanders = scenario.bystanders.unwrap_or(asked.cpus.saturating_sub(1));
    if measured.bystanders != bystanders {
        let text = format!("{name}: {} bystander CPUs counted instead of {bystanders}", measured.bystanders);
        found.gap(Weight::Vacuous, text);
    }
    for mechanism in Counted::ALL.into_iter().filter(|mechanism| mechanism.of(&measured.quiet) > 0) {
        let text =
            format!("{name}: with nothing forced, {} {}", mechanism.of(&measured.quiet), mechanism.name());
        found.bad(Witness::Quiet { mechanism, scenario: name.clone() }, text);
    }
    let mechanism = asked.expect.map(|expect| match arm {
        Arm::Base => expect.base,
        Arm::Patched => expect.patched,
    });
    let mut scene = Scene { found, name, arm, measured };
    match (&scenario.demand, mechanism) {
        (Demand::Counts(expected), _) => scene.own_counts(expected),
        (_, None) => scene.gap("nothing says what a fallback has to do here"),
        (demand, Some(Mechanism::None)) => scene.absence(demand.number(), ran),
        (Demand::Fallbacks(demand), Some(mechanism)) => scene.fallbacks(*demand, mechanism),
        (Demand::AtLeast(demand), Some(mechanism)) => scene.at_least(*demand, mechanism),
        (Demand::KeptIpi(demand), Some(_)) => scene.kept_ipi(*demand),
    }
}

/// One scenario under examination.
struct Scene<'a> {
    found: &'a mut Findings,
    name: &'a str,
    arm: Arm,
    measured: &'a Measured,
}

impl Scene<'_> {
    fn gap(&mut self, text: &str) {
        self.found.gap(Weight::Vacuous, format!("{}: {text}", self.name));
    }

    /// As many failures as asked for, and the mechanism exactly once for each.
    fn fallbacks(&mut self, demand: u64, mechanism: Mechanism) {
        let injected = self.measured.injected;
        if self.measured.demanded < demand || injected < demand {
            return self.gap(&format!("{injected} failures injected of {demand} asked for"));
        }
        self.counts(
            &format!("{injected} fallbacks"),
            &counts_of(mechanism, injected, self.measured.bystanders),
        );
        self.order();
        self.tables(injected);
    }

    /// As many fallbacks as asked for, whatever made them, each complete.
    fn at_least(&mut self, demand: u64, mechanism: Mechanism) {
        let forced = &self.measured.forced;
        let fallbacks = match mechanism {
            Mechanism::Ipi => forced.ipi,
            Mechanism::RcuSync => forced.rcu_sync,
            Mechanism::CallRcu => forced.call_rcu,
            Mechanism::None => 0,
        };
        // Freed by the fallback itself and never by its mechanism: then it is the mechanism that is missing.
        let reached = fallbacks.max(forced.direct_frees);
        if reached < demand {
            return self.gap(&format!("{reached} fallbacks of at least {demand} asked for"));
        }
        self.counts(
            &format!("{reached} fallbacks"),
            &counts_of(mechanism, reached, self.measured.bystanders),
        );
        self.order();
        self.tables(reached);
    }

    /// As many operations as asked for, each with its broadcast, and nothing else.
    fn kept_ipi(&mut self, demand: u64) {
        let operations = self.measured.operations;
        if operations < demand {
            return self.gap(&format!("{operations} operations of {demand} asked for"));
        }
        let bystander_ipis = operations.saturating_mul(u64::from(self.measured.bystanders));
        let expected = Counts { ipi: operations, bystander_ipis, ..Counts::default() };
        self.counts(&format!("{operations} operations that keep their IPI"), &expected);
    }

    /// What the guest test counted by itself, just as often as the campaign says.
    fn own_counts(&mut self, expected: &[ExpectedCount]) {
        for ExpectedCount { what, base, patched } in expected {
            let want = if self.arm == Arm::Base { *base } else { *patched };
            let Some(done) = self.measured.done.iter().find(|done| done.what == *what) else {
                self.gap(&format!("it did not count {what}"));
                continue;
            };
            if done.count != want {
                let name = self.name;
                let text = format!("{name}: {what} should be {want}; counted: {}", done.count);
                let witness = Witness::Done { what: what.clone(), scenario: name.to_owned() };
                self.found.add(self.weight(), witness, text);
            }
        }
    }

    fn counts(&mut self, cause: &str, expected: &Counts) {
        for counted in Counted::ALL {
            let (want, got) = (counted.of(expected), counted.of(&self.measured.forced));
            if want != got {
                let name = self.name;
                let text = format!("{name}: {cause} should give {want} {}; measured: {got}", counted.name());
                let witness = Witness::Count { mechanism: counted, scenario: name.to_owned() };
                self.found.add(self.weight(), witness, text);
            }
        }
    }

    fn order(&mut self) {
        let unsynced = self.measured.forced.unsynced_frees;
        if unsynced > 0 {
            let name = self.name;
            let text = format!("{name}: {unsynced} page tables were freed before anything was waited for");
            self.found.add(self.weight(), Witness::Order { scenario: name.to_owned() }, text);
        }
    }

    fn tables(&mut self, freed: u64) {
        let tables = self.measured.page_tables;
        if tables.after >= tables.before.saturating_add(freed) {
            let text = format!("{}: page tables were not freed: {}", self.name, moments(tables));
            self.found.bad(Witness::Tables { scenario: self.name.to_owned() }, text);
        }
    }

    /// The kernel has no fallback: its symbols are gone, page tables were freed, allocations failed, nothing ran.
    fn absence(&mut self, demand: u64, ran: &Ran) {
        let symbols = ran.hello.as_ref().map(|hello| hello.symbols.as_slice()).unwrap_or_default();
        for symbol in symbols.iter().filter(|symbol| symbol.starts_with("tlb_remove_table")) {
            self.gap(&format!("the kernel has {symbol}, so there is a fallback"));
        }
        let Measured { injected, forced, page_tables: tables, .. } = *self.measured;
        if injected < demand {
            self.gap(&format!("{injected} failures injected of {demand} asked for"));
        }
        for counted in Counted::ALL.into_iter().filter(|counted| counted.of(&forced) > 0) {
            let (name, got) = (self.name, counted.of(&forced));
            let text = format!("{name}: no fallback is compiled, and yet {got} {}", counted.name());
            self.found.bad(Witness::Count { mechanism: counted, scenario: name.to_owned() }, text);
        }
        if tables.peak < tables.before.saturating_add(demand) {
            return self.gap(&format!("too few page tables to show anything: {}", moments(tables)));
        }
        self.tables(demand);
    }

    /// A base that is not what it is said to be is no evidence against the patch.
    fn weight(&self) -> Weight {
        if self.arm == Arm::Base { Weight::Vacuous } else { Weight::Bad }
    }
}

/// What `fallbacks` fallbacks give when each is made safe by `mechanism`.
fn counts_of(mechanism: Mechanism, fallbacks: u64, bystanders: u32) -> Counts {
    match mechanism {
        Mechanism::Ipi => Counts {
            ipi: fallbacks,
            bystander_ipis: fallbacks.saturating_mul(u64::from(bystanders)),
            direct_frees: fallbacks,
            ..Counts::default()
        },
        Mechanism::RcuSync => Counts { rcu_sync: fallbacks, direct_frees: fallbacks, ..Counts::default() },
        Mechanism::CallRcu => Counts { call_rcu: fallbacks, ..Counts::default() },
        Mechanism::None => Counts::default(),
    }
}

fn moments(tables: PageTables) -> String {
    let PageTables { before, peak, after } = tables;
    format!("{before} before, {peak} at most, {after} after")
}
