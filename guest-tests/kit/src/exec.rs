//! Executing this very program again, in a form in which it only leaves.

use std::ffi::CString;
use std::io::Error;
use std::os::unix::ffi::OsStrExt;

/// Its first argument then.
const LEAVE: &str = "leave";

/// Ends this process if it was started by [`again`]; to be called first in `main`.
pub fn leave_if_told() {
    if std::env::args().nth(1).as_deref() == Some(LEAVE) {
        std::process::exit(0);
    }
}

/// What `execve` needs, made before anything is armed.
#[derive(Debug)]
pub struct Again {
    program: CString,
    arguments: Vec<CString>,
}

impl Again {
    /// This program, told to leave.
    pub fn prepare() -> Result<Self, String> {
        // Not `current_exe`: the program is the guest test that its name says.
        let path = std::env::args_os().next().ok_or("started without a name")?;
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|error| error.to_string());
        let program = c_string(path.as_bytes())?;
        let arguments = vec![program.clone(), c_string(LEAVE.as_bytes())?];
        Ok(Again { program, arguments })
    }

    /// Replaces this process.
    ///
    /// # Errors
    /// When it comes back, it failed.
    pub fn exec(&self) -> Result<(), String> {
        let mut pointers: Vec<*const libc::c_char> =
            self.arguments.iter().map(|word| word.as_ptr()).collect();
        pointers.push(std::ptr::null());
        let environment = [std::ptr::null()];
        // SAFETY: C strings and arrays that end with a null pointer, all alive during the call.
        unsafe { libc::execve(self.program.as_ptr(), pointers.as_ptr(), environment.as_ptr()) };
        Err(format!("could not execute this program again: {}", Error::last_os_error()))
    }
}
