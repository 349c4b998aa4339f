//! Reads the text in which tracefs says where the fields of an event are: a `format` file, or `header_page`. Pure.

/// Where one field of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    offset: usize,
    size: usize,
}

impl Field {
    /// The field of this `record`, a number of 1, 2, 4 or 8 bytes.
    pub fn of(self, record: &[u8]) -> Result<u64, String> {
        let bytes = record.get(self.offset..).and_then(|rest| rest.get(..self.size));
        let number = bytes.and_then(|bytes| match bytes.len() {
            1 => Some(u64::from(bytes[0])),
            2 => bytes.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes).into()),
            4 => bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes).into()),
            8 => bytes.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes)),
            _ => None,
        });
        number.ok_or_else(|| format!("a record of {} bytes has no number at {self:?}", record.len()))
    }

    pub fn offset(self) -> usize {
        self.offset
    }
}

/// The number by which records of an event are known. `header_page` has none.
pub fn id(format: &str) -> Result<u64, String> {
    let id = format.lines().find_map(|line| line.strip_prefix("ID: ")?.trim().parse().ok());
    id.ok_or_else(|| format!("a format without an ID: {format:?}"))
}

/// The field of this name, in a line such as `field:unsigned long ip; offset:8; size:8; signed:0;` (with tabs).
pub fn field(format: &str, name: &str) -> Result<Field, String> {
    let found = format.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
        let declared = parts.next()?.rsplit([' ', '*']).next()?;
        let mut value = |key: &str| parts.next()?.strip_prefix(key)?.parse().ok();
        (declared == name).then_some(Field { offset: value("offset:")?, size: value("size:")? })
    });
    found.ok_or_else(|| format!("a format without a field {name}: {format:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSD_QUEUE_CPU: &str = "name: csd_queue_cpu\nID: 49\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:unsigned int cpu;\toffset:8;\tsize:4;\tsigned:0;\n\
        \tfield:void * callsite;\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:void *func;\toffset:24;\tsize:8;\tsigned:0;\n\n\
        print fmt: \"cpu=%u callsite=%pS func=%ps csd=%p\", REC->cpu\n";

    #[test]
    fn a_field_is_where_the_format_says() {
        assert_eq!(id(CSD_QUEUE_CPU), Ok(49));
        assert_eq!(field(CSD_QUEUE_CPU, "common_type"), Ok(Field { offset: 0, size: 2 }));
        assert_eq!(field(CSD_QUEUE_CPU, "func"), Ok(Field { offset: 24, size: 8 }));
        let header = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
                      \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n";
        assert_eq!(field(header, "commit"), Ok(Field { offset: 8, size: 8 }));
    }

    #[test]
    fn what_the_format_does_not_say_is_an_error() {
        assert!(id("format:\n").is_err());
        for name in ["unc", "callsit", "REC->cpu", ""] {
            assert!(field(CSD_QUEUE_CPU, name).is_err(), "{name}");
        }
        assert!(field("\tfield:int cpu;\tsize:4;\n", "cpu").is_err());
    }

    #[test]
    fn a_record_that_is_too_short_for_its_field_is_an_error() {
        let field = Field { offset: 2, size: 2 };
        assert_eq!(field.of(&[9, 9, 7, 0]), Ok(u64::from(u16::from_ne_bytes([7, 0]))));
        assert!(field.of(&[9, 9, 7]).is_err());
        assert!(Field { offset: 0, size: 3 }.of(&[0; 8]).is_err());
    }
}
