//! Names of errors, as their manual pages have them.

use std::io;

macro_rules! names {
    ($($name:ident)*) => {
        /// None: an error that no call here gives, or no error of the kernel at all.
        pub fn name_of(number: i32) -> Option<&'static str> {
            match number {
                $(libc::$name => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

names! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK
    ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ENOSTR ENODATA ETIME ENONET ENOLINK ECOMM EPROTO EBADMSG
    EOVERFLOW EBADFD EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT
    EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET
    ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS
    ESTALE EUCLEAN EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED
    EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
}

/// The error's name, or its words if it is not the kernel's. An error that only kernel code should see has a number.
pub fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => name_of(number).map_or_else(|| format!("error {number}"), str::to_owned),
        None => error.to_string(),
    }
}

/// The errors of a kernel that lacks what it was asked for.
pub fn means_missing(error: &io::Error) -> bool {
    let missing = [
        libc::ENOENT,
        libc::ENODEV,
        libc::ENXIO,
        libc::ENOSYS,
        libc::EOPNOTSUPP,
        libc::EAFNOSUPPORT,
        libc::EPFNOSUPPORT,
        libc::EPROTONOSUPPORT,
        libc::ESOCKTNOSUPPORT,
    ];
    error.raw_os_error().is_some_and(|number| missing.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_go_by_name_and_odd_ones_by_number() {
        assert_eq!(describe(&io::Error::from_raw_os_error(libc::ENOMEM)), "ENOMEM");
        // ENOTSUPP of include/linux/errno.h.
        assert_eq!(describe(&io::Error::from_raw_os_error(524)), "error 524");
        assert_eq!(describe(&io::Error::other("short")), "short");
        assert!(means_missing(&io::Error::from_raw_os_error(libc::ENODEV)));
        assert!(!means_missing(&io::Error::from_raw_os_error(libc::EINVAL)));
    }
}
