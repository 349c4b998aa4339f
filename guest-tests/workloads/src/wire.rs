//! Messages of file system protocols: numbers in little endian, which 9P demands and FUSE has on each architecture that the
//! guest runs on, and strings.

use std::io;

/// Takes a message apart. A message that is too short is EPROTO.
#[derive(Debug)]
pub struct WireReader<'a>(pub &'a [u8]);

impl<'a> WireReader<'a> {
    /// # Errors
    /// EPROTO when fewer bytes are left.
    pub fn bytes(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            return Err(io::Error::from_raw_os_error(libc::EPROTO));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut number = [0; N];
        number.copy_from_slice(self.bytes(N)?);
        Ok(number)
    }

    /// # Errors
    /// EPROTO when fewer bytes are left.
    pub fn u8(&mut self) -> io::Result<u8> {
        Ok(u8::from_le_bytes(self.number()?))
    }

    /// # Errors
    /// EPROTO when fewer bytes are left.
    pub fn u16(&mut self) -> io::Result<u16> {
        Ok(u16::from_le_bytes(self.number()?))
    }

    /// # Errors
    /// EPROTO when fewer bytes are left.
    pub fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.number()?))
    }

    /// # Errors
    /// EPROTO when fewer bytes are left.
    pub fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.number()?))
    }

    /// A string of 9P: its length in 16 bits, and its bytes.
    ///
    /// # Errors
    /// EPROTO when fewer bytes are left.
    pub fn counted(&mut self) -> io::Result<&'a [u8]> {
        let length = self.u16()?;
        self.bytes(length.into())
    }

    /// A string of FUSE: its bytes, and a zero.
    ///
    /// # Errors
    /// EPROTO when there is no zero.
    pub fn terminated(&mut self) -> io::Result<&'a [u8]> {
        let length = self.0.iter().position(|byte| *byte == 0);
        let text = self.bytes(length.ok_or_else(|| io::Error::from_raw_os_error(libc::EPROTO))?)?;
        self.bytes(1)?;
        Ok(text)
    }
}

/// Puts a message together.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u8(&mut self, number: u8) -> &mut Writer {
        self.bytes(&[number])
    }

    pub fn u16(&mut self, number: u16) -> &mut Writer {
        self.bytes(&number.to_le_bytes())
    }

    pub fn u32(&mut self, number: u32) -> &mut Writer {
        self.bytes(&number.to_le_bytes())
    }

    pub fn u64(&mut self, number: u64) -> &mut Writer {
        self.bytes(&number.to_le_bytes())
    }

    /// As [`WireReader::counted`] reads it.
    pub fn counted(&mut self, text: &[u8]) -> &mut Writer {
        self.u16(text.len() as u16).bytes(text)
    }
}
