//! Where to inject, and how many units of work an operation has to do to meet the demand there. Pure.

use std::ops::Range;

use protocol::kallsyms::Kallsyms;
use protocol::{Ask, Injection};

/// Units beyond the demand, so that the injection runs out before the work does and N means exactly N.
const SPARE_UNITS: u64 = 16;

/// What an operation needs for each failure where nothing is injected.
const NO_INJECTION: u64 = 1;

/// A place to inject failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The function's full name in kallsyms.
    pub function: String,
    /// Addresses of the function; failures have one of them in their call stack.
    pub under: Range<u64>,
    /// And none of these.
    pub outside: Range<u64>,
    /// [`protocol::InjectionPoint::work`].
    work: u64,
}

impl Site {
    /// The first function of [`Injection::under`] that this kernel has.
    pub fn of(kallsyms: &Kallsyms, injection: &Injection) -> Result<Self, String> {
        let mut places = injection.under.iter();
        let found = places.find_map(|place| Some((place, kallsyms.range(&place.function)?)));
        let (place, (function, under)) = found.ok_or_else(|| {
            let names: Vec<_> = injection.under.iter().map(|place| place.function.as_str()).collect();
            format!("/proc/kallsyms has none of {}", names.join(", "))
        })?;
        let outside = injection.outside.as_ref().map_or(Ok(0..0), |function| {
            let range = kallsyms.range(function).map(|(_, range)| range);
            range.ok_or_else(|| format!("/proc/kallsyms has no {function}"))
        })?;
        Ok(Site { function: function.to_owned(), under, outside, work: place.work })
    }
}

/// Units of work for what is asked, at this site if something is injected.
pub fn units(ask: &Ask, site: Option<&Site>) -> Result<u64, String> {
    let work = site.map_or(NO_INJECTION, |site| site.work);
    let units = ask.demand.checked_mul(work).and_then(|units| units.checked_add(SPARE_UNITS));
    units.ok_or_else(|| format!("a demand of {} failures is too much", ask.demand))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::{InjectionPoint, Which};

    use super::*;

    fn injection(outside: Option<&str>) -> Injection {
        let place = |function: &str, work| InjectionPoint { function: function.to_owned(), work };
        Injection {
            fault: "failslab".to_owned(),
            settings: Vec::new(),
            under: vec![place("inner", 1), place("outer", 4)],
            outside: outside.map(str::to_owned),
            which: Which::Next,
        }
    }

    fn ask(demand: u64) -> Ask {
        let set = BTreeMap::new();
        Ask {
            name: "test".to_owned(),
            demand,
            inject: Some(injection(None)),
            set,
            secs: 0,
            exclusive: false,
            work: None,
            if_time: false,
            within_secs: None,
        }
    }

    fn kallsyms(text: &str) -> Kallsyms {
        Kallsyms::parse(text).unwrap()
    }

    #[test]
    fn the_first_function_that_is_there_is_the_place() {
        let kallsyms = kallsyms("1000 t outer\n2000 T inner\n3000 T next\n");
        let site = Site::of(&kallsyms, &injection(None)).unwrap();
        let expected = Site { function: "inner".into(), under: 0x2000..0x3000, outside: 0..0, work: 1 };
        assert_eq!((units(&ask(200), Some(&site)), site), (Ok(216), expected));
    }

    #[test]
    fn a_compiler_may_have_inlined_one_into_the_other() {
        let kallsyms = kallsyms("1000 t outer.constprop.0\n3000 T next\n4000 T end\n");
        let site = Site::of(&kallsyms, &injection(Some("next"))).unwrap();
        assert_eq!((site.function.as_str(), &site.under), ("outer.constprop.0", &(0x1000..0x3000)));
        assert_eq!(site.outside, 0x3000..0x4000);
        assert_eq!(units(&ask(200), Some(&site)), Ok(816));
    }

    #[test]
    fn a_kernel_without_any_of_them_is_an_error() {
        let kallsyms = kallsyms("1000 t inner\n3000 T next\n");
        assert!(Site::of(&kallsyms, &injection(Some("nothing"))).unwrap_err().contains("nothing"));
        let error =
            Site::of(&self::kallsyms("1000 t something\n3000 T next\n"), &injection(None)).unwrap_err();
        assert_eq!(error, "/proc/kallsyms has none of inner, outer");
    }

    #[test]
    fn nothing_injected_is_a_unit_for_each_operation_and_some_to_spare() {
        assert_eq!(units(&ask(200), None), Ok(216));
    }

    #[test]
    fn an_absurd_demand_is_an_error() {
        let site = Site { function: "inner".into(), under: 0..1, outside: 0..0, work: 4 };
        for demand in [u64::MAX, u64::MAX / 2, u64::MAX / 4] {
            assert!(units(&ask(demand), Some(&site)).is_err(), "{demand}");
        }
        assert!(units(&ask(u64::MAX), None).is_err());
    }
}
