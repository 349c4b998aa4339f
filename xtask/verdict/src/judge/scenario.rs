//! Looks at what one scenario measured: whether it met its demand, and whether its counts are those of the outcome
//! that the arm must have. Where a number is known, it is compared exactly.

use protocol::{Level, Measured};

use super::finding::{Asked, Findings, JudgedArm, Weight};
use super::work::examine_work;
use crate::campaign::{Demand, ExpectedCount, Scenario};
use crate::observe::{Ending, Ran};
use crate::subject::signal::Signal;
use crate::subject::{Outcome, Subject};

/// Everything that stands between this scenario and a pass.
pub fn examine_scenario(
    found: &mut Findings,
    asked: &Asked<'_>,
    arm: JudgedArm,
    scenario: &Scenario,
    ran: &Ran,
) {
    let name = &scenario.name;
    let outcome = ran.scenarios.iter().find(|ran| ran.name == *name).map(|ran| &ran.outcome);
    let measured = match outcome {
        Some(Ending::Measured(measured)) => measured,
        Some(Ending::Broken(why)) => {
            return found.gap(Weight::Vacuous, format!("{name}: not carried out: {why}"));
        }
        Some(Ending::Unfinished) => {
            return found.gap(Weight::Vacuous, format!("{name}: begun and not finished"));
        }
        None => return found.gap(Weight::Vacuous, format!("{name}: planned and not run")),
    };
    if let Some(work) = scenario.work() {
        return examine_work(found, scenario, work, measured);
    }
    if measured.lost_events != 0 {
        found.gap(Weight::Vacuous, format!("{name}: {} trace events were lost", measured.lost_events));
    }
    let bystanders = scenario.bystanders.unwrap_or(asked.cpus.saturating_sub(1));
    if measured.bystanders != bystanders {
        let text = format!("{name}: {} bystander CPUs counted instead of {bystanders}", measured.bystanders);
        found.gap(Weight::Vacuous, text);
    }
    for (when, counts) in [("with nothing forced", &measured.quiet), ("under force", &measured.forced)] {
        for counted in asked.subject.counted().filter(|counted| !counts.0.contains_key(*counted)) {
            found.gap(Weight::Vacuous, format!("{name}: {when}, it did not count {counted}"));
        }
    }
    for event in &asked.subject.events {
        let happened = measured.quiet.get(&event.name);
        if happened > 0 {
            let text = format!("{name}: with nothing forced, {happened} {}", event.name);
            found.bad(Signal::Quiet { event: event.name.clone(), scenario: name.clone() }, text);
        }
    }
    let expected = asked.expect.map(|expect| match arm {
        JudgedArm::Base => expect.base.as_str(),
        JudgedArm::Patched => expect.patched.as_str(),
    });
    let of_arm = expected.and_then(|name| asked.subject.outcome(name));
    let mut scene = Scene { found, subject: asked.subject, name, arm, measured };
    match (&scenario.demand, of_arm) {
        (Demand::Work(_), _) => {}
        (Demand::Counts(expected), _) => scene.own_counts(expected),
        (Demand::Operations { count, outcome }, _) => match asked.subject.outcome(outcome) {
            Some(outcome) => scene.operations(*count, outcome),
            None => scene.gap("nothing says what an operation has to do"),
        },
        (_, None) => scene.gap("nothing says what a failure has to lead to here"),
        (demand, Some(outcome)) if !outcome.absent.is_empty() => scene.absence(demand.number(), outcome, ran),
        (Demand::Failures(demand), Some(outcome)) => scene.failures(*demand, outcome),
        (Demand::AtLeast(demand), Some(outcome)) => scene.at_least(*demand, outcome),
    }
}

/// One scenario under examination.
struct Scene<'a> {
    found: &'a mut Findings,
    subject: &'a Subject,
    name: &'a str,
    arm: JudgedArm,
    measured: &'a Measured,
}

impl Scene<'_> {
    fn gap(&mut self, text: &str) {
        self.found.gap(Weight::Vacuous, format!("{}: {text}", self.name));
    }

    /// As many failures as asked for, and the outcome exactly once for each.
    fn failures(&mut self, demand: u64, outcome: &Outcome) {
        let injected = self.measured.injected;
        if self.measured.demanded < demand || injected < demand {
            return self.gap(&format!("{injected} failures injected of {demand} asked for"));
        }
        self.counts(&format!("{injected} {}s", self.subject.failure), injected, outcome);
        self.order();
        self.gauges(injected);
    }

    /// The outcome as often as asked for, whatever led to it, each time complete.
    fn at_least(&mut self, demand: u64, outcome: &Outcome) {
        let reached = outcome.reached(&self.measured.forced);
        let failure = &self.subject.failure;
        if reached < demand {
            return self.gap(&format!("{reached} {failure}s of at least {demand} asked for"));
        }
        self.counts(&format!("{reached} {failure}s"), reached, outcome);
        self.order();
        self.gauges(reached);
    }

    /// As many operations as asked for, each with this outcome, and nothing else.
    fn operations(&mut self, demand: u64, outcome: &Outcome) {
        let operations = self.measured.operations;
        if operations < demand {
            return self.gap(&format!("{operations} operations of {demand} asked for"));
        }
        self.counts(&format!("{operations} operations"), operations, outcome);
    }

    /// What the guest test counted by itself, just as often as the campaign says.
    fn own_counts(&mut self, expected: &[ExpectedCount]) {
        for ExpectedCount { what, base, patched } in expected {
            let want = if self.arm == JudgedArm::Base { *base } else { *patched };
            let Some(done) = self.measured.done.iter().find(|done| done.what == *what) else {
                self.gap(&format!("it did not count {what}"));
                continue;
            };
            if done.count != want {
                let name = self.name;
                let text = format!("{name}: {what} should be {want}; counted: {}", done.count);
                let signal = Signal::Done { what: what.clone(), scenario: name.to_owned() };
                self.found.add(self.weight(), signal, text);
            }
        }
    }

    /// `count` times the outcome, and no event beside it.
    fn counts(&mut self, cause: &str, count: u64, outcome: &Outcome) {
        let bystanders = self.measured.bystanders;
        for event in &self.subject.events {
            let each = outcome.each.get(&event.name);
            let want = each.map_or(0, |each| each.of(count, bystanders));
            let got = self.measured.forced.get(&event.name);
            if want != got {
                let (name, event) = (self.name, &event.name);
                let text = format!("{name}: {cause} should give {want} {event}; measured: {got}");
                let signal = Signal::Count { event: event.clone(), scenario: name.to_owned() };
                self.found.add(self.weight(), signal, text);
            }
        }
    }

    fn order(&mut self) {
        for order in &self.subject.order {
            let broken = self.measured.forced.get(&order.name);
            if broken > 0 {
                let name = self.name;
                let text = format!("{name}: {broken} {}", order.broken);
                let signal = Signal::Order { order: order.name.clone(), scenario: name.to_owned() };
                self.found.add(self.weight(), signal, text);
            }
        }
    }

    /// What `count` failures held was given back.
    fn gauges(&mut self, count: u64) {
        for gauge in &self.subject.gauges {
            let Some(level) = self.level(&gauge.name) else { continue };
            if level.after >= level.before.saturating_add(count.saturating_mul(gauge.each)) {
                let text = format!("{}: {} were not freed: {}", self.name, gauge.title, moments(level));
                let signal = Signal::Gauge { gauge: gauge.name.clone(), scenario: self.name.to_owned() };
                self.found.bad(signal, text);
            }
        }
    }

    fn level(&mut self, gauge: &str) -> Option<Level> {
        let level = self.measured.levels.get(gauge).copied();
        if level.is_none() {
            self.gap(&format!("it did not read {gauge}"));
        }
        level
    }

    /// Nothing follows a failure in this kernel: the functions are gone, the work was done, allocations failed, nothing ran.
    fn absence(&mut self, demand: u64, outcome: &Outcome, ran: &Ran) {
        let symbols = ran.hello.as_ref().map(|hello| hello.symbols.as_slice()).unwrap_or_default();
        for symbol in symbols.iter().filter(|symbol| outcome.absent.contains(symbol)) {
            self.gap(&format!("the kernel has {symbol}, so there is a {}", self.subject.failure));
        }
        let injected = self.measured.injected;
        if injected < demand {
            self.gap(&format!("{injected} failures injected of {demand} asked for"));
        }
        for event in &self.subject.events {
            let (name, got) = (self.name, self.measured.forced.get(&event.name));
            if got > 0 {
                let text =
                    format!("{name}: no {} is compiled, and yet {got} {}", self.subject.failure, event.name);
                let signal = Signal::Count { event: event.name.clone(), scenario: name.to_owned() };
                self.found.bad(signal, text);
            }
        }
        for gauge in &self.subject.gauges {
            let Some(level) = self.level(&gauge.name) else { continue };
            if level.peak < level.before.saturating_add(demand.saturating_mul(gauge.each)) {
                return self.gap(&format!("too few {} to show anything: {}", gauge.title, moments(level)));
            }
        }
        self.gauges(demand);
    }

    /// A base that is not what it is said to be is no evidence against the patch.
    fn weight(&self) -> Weight {
        if self.arm == JudgedArm::Base { Weight::Vacuous } else { Weight::Bad }
    }
}

fn moments(level: Level) -> String {
    let Level { before, peak, after } = level;
    format!("{before} before, {peak} at most, {after} after")
}
