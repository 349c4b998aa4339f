//! Processes: made each way, waited for, traced, signalled; timers, futexes, scheduling classes, affinity, limits, prctl,
//! seccomp, credentials, namespaces; and numbers that are no process.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::sys::{Impatience, descriptor, fork, in_child, reap, wrong};
use workloads::walk::write;
use workloads::{places, sys};

const LIMIT: Duration = Duration::from_secs(15);
const NONE: i32 = 999_999;

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    making(it);
    waiting(it);
    signals(it);
    tracing(it);
    timers(it);
    futexes(it);
    scheduling(it);
    limits(it);
    prctls(it);
    seccomp(it);
    credentials(it);
    namespaces(it);
    perf(it);
}

fn own() -> i32 {
    // SAFETY: a number only.
    unsafe { libc::getpid() }
}

fn clone3(flags: u64, more: &[(usize, u64)]) -> io::Result<i64> {
    let mut arguments = [0_u64; 11];
    (arguments[0], arguments[4]) = (flags, libc::SIGCHLD as u64);
    more.iter().for_each(|(index, value)| arguments[*index] = *value);
    let child = sys!(SYS_clone3, arguments.as_ptr(), size_of_val(&arguments))?;
    if child == 0 {
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) }
    }
    reap(child as i32)?;
    Ok(child)
}

fn making(it: &mut Exercise) {
    it.step("fork", || in_child(LIMIT, || Ok(())));
    it.step("vfork", || {
        let child = sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)?;
        if child == 0 {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(3) }
        }
        reap(child as i32)
    });
    let mut pidfd = 0_i32;
    let pidfd = (&raw mut pidfd) as u64;
    let taken = [1_i32];
    for (name, flags, more) in [
        ("plain", 0, vec![]),
        ("pidfd", 0x1000, vec![(1, pidfd)]),
        ("files and fs shared", 0x600, vec![]),
        ("without its signals", 0x1_0000_0000, vec![]),
        ("signals without memory", 0x800, vec![]),
        ("thread without signals", 0x10000, vec![]),
        ("parent shared", 0x8000, vec![]),
        ("a taken number", 0, vec![(8, taken.as_ptr() as u64), (9, 1)]),
        ("too many numbers", 0, vec![(8, taken.as_ptr() as u64), (9, 99)]),
        ("a bad cgroup", 0x2_0000_0000, vec![(10, 0)]),
        ("a bad signal", 0, vec![(4, 200)]),
        ("no such flag", 1 << 60, vec![]),
        ("a stack without a size", 0, vec![(5, 4096)]),
        ("new namespaces", 0x7e02_0080, vec![]),
    ] {
        it.step(format!("clone3 {name}"), || clone3(flags, &more));
    }
    it.step("clone3 of a short structure", || sys!(SYS_clone3, [0_u64; 2].as_ptr(), 16));
    it.step("threads", || {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| fs::read("/proc/thread-self/stat"))).collect();
        threads.into_iter().for_each(|thread| drop(thread.join()));
        Ok(())
    });
    let arguments = [std::ptr::null::<u8>()];
    for (name, path) in [
        ("nothing", c"/no/such"),
        ("a directory", c"/tmp"),
        ("no program", c"/proc/self/status"),
        ("a long name", c"/request.json"),
    ] {
        it.step(format!("execute {name}"), || {
            in_child(LIMIT, || {
                sys!(SYS_execve, path.as_ptr(), arguments.as_ptr(), arguments.as_ptr()).map(drop)
            })
        });
    }
    it.step("execute a script", || {
        fs::write("/tmp/script", "#!/no/such/interpreter with arguments\n")?;
        fs::set_permissions("/tmp/script", std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let failed = in_child(LIMIT, || {
            sys!(SYS_execve, c"/tmp/script".as_ptr(), arguments.as_ptr(), arguments.as_ptr()).map(drop)
        });
        fs::remove_file("/tmp/script")?;
        failed
    });
    it.step("execute by descriptor", || {
        in_child(LIMIT, || {
            let file = fs::File::open("/proc/self/exe")?;
            sys!(
                SYS_execveat,
                file.as_raw_fd(),
                c"".as_ptr(),
                [c"leave".as_ptr(), std::ptr::null()].as_ptr(),
                arguments.as_ptr(),
                0x1000
            )
            .map(drop)
        })
    });
    it.step("personality", || {
        let before = sys!(SYS_personality, 0xffff_ffff_u32)?;
        sys!(SYS_personality, before)
    });
}

fn waiting(it: &mut Exercise) {
    it.step("wait for no child", || sys!(SYS_wait4, NONE, 0, 0, 0));
    it.step("waitid", || {
        let child = fork(|| wrong("as it should be"))?;
        let process = descriptor(sys!(SYS_pidfd_open, child, 0))?;
        let mut information = [0_u64; 16];
        let mut usage = [0_u64; 18];
        sys!(
            SYS_waitid,
            3,
            process.as_raw_fd(),
            information.as_mut_ptr(),
            4 | 0x0100_0000,
            usage.as_mut_ptr()
        )?;
        sys!(SYS_waitid, 1, child, information.as_mut_ptr(), 4, 0)?;
        sys!(SYS_waitid, 9, child, information.as_mut_ptr(), 4, 0)
    });
    it.step("pidfd", || {
        let child = fork(|| {
            std::thread::sleep(Duration::from_secs(2));
            Ok(())
        })?;
        let process = descriptor(sys!(SYS_pidfd_open, child, 0))?;
        let fd = process.as_raw_fd();
        fs::read(format!("/proc/self/fdinfo/{fd}"))?;
        let stolen = descriptor(sys!(SYS_pidfd_getfd, fd, 0, 0));
        sys!(SYS_pidfd_getfd, fd, 999, 0).err();
        sys!(SYS_setns, fd, libc::CLONE_NEWUTS | libc::CLONE_NEWIPC).err();
        // PIDFD_GET_INFO and namespaces.
        let mut information = [0_u64; 16];
        for request in [0xc040_ff0b_u32, 0xff01, 0xff02, 0xff06, 0xff09] {
            if let Ok(fd) = sys!(SYS_ioctl, fd, request, information.as_mut_ptr()) {
                let _ = sys!(SYS_close, if fd > 2 { fd } else { 999 });
            }
        }
        sys!(SYS_pidfd_send_signal, fd, libc::SIGSTOP, 0, 0)?;
        sys!(SYS_pidfd_send_signal, fd, libc::SIGCONT, 0, 0)?;
        sys!(SYS_pidfd_send_signal, fd, libc::SIGKILL, 0, 0)?;
        drop(stolen);
        let _ = reap(child);
        sys!(SYS_pidfd_send_signal, fd, 0, 0, 0)
    });
    it.step("pidfd of nothing", || sys!(SYS_pidfd_open, NONE, 0));
}

extern "C" fn nothing(_: libc::c_int) {}

fn signals(it: &mut Exercise) {
    it.step("handled, queued, waited for", || {
        in_child(LIMIT, || {
            let handler: extern "C" fn(libc::c_int) = nothing;
            for signal in [libc::SIGUSR1, libc::SIGHUP, 34, 64] {
                // SAFETY: a handler that does nothing.
                unsafe { libc::signal(signal, handler as *const () as usize) };
                sys!(SYS_kill, own(), signal)?;
                sys!(SYS_tgkill, own(), own(), signal)?;
                sys!(SYS_tkill, own(), signal)?;
            }
            let mask = 1_u64 << 33 | 1 << (libc::SIGUSR2 - 1);
            sys!(SYS_rt_sigprocmask, 0, &raw const mask, 0, 8)?;
            let mut information = [0_u64; 16];
            information[1] = u64::from(u32::MAX);
            sys!(SYS_rt_sigqueueinfo, own(), 34, information.as_mut_ptr())?;
            sys!(SYS_rt_tgsigqueueinfo, own(), own(), 34, information.as_mut_ptr())?;
            let mut pending = 0_u64;
            sys!(SYS_rt_sigpending, &raw mut pending, 8)?;
            let time = [0_i64, 1_000_000];
            sys!(SYS_rt_sigtimedwait, &raw const mask, information.as_mut_ptr(), time.as_ptr(), 8)?;
            sys!(SYS_rt_sigtimedwait, &raw const mask, information.as_mut_ptr(), time.as_ptr(), 8)?;
            let mut stack = [0_u64; 3];
            sys!(SYS_sigaltstack, 0, stack.as_mut_ptr())?;
            sys!(SYS_rt_sigtimedwait, &raw const mask, information.as_mut_ptr(), time.as_ptr(), 8).map(drop)
        })
    });
    for signal in [libc::SIGSEGV, libc::SIGABRT, libc::SIGKILL, libc::SIGTERM, libc::SIGSYS] {
        it.step(format!("ended by signal {signal}"), || {
            in_child(LIMIT, || {
                sys!(SYS_prlimit64, 0, libc::RLIMIT_CORE, [0_u64, 0].as_ptr(), 0)?;
                sys!(SYS_kill, own(), signal)?;
                std::thread::sleep(LIMIT);
                Ok(())
            })
        });
    }
    it.step("a core dump into a pipe that is not there", || {
        in_child(LIMIT, || {
            std::env::set_current_dir("/tmp")?;
            sys!(SYS_prlimit64, 0, libc::RLIMIT_CORE, [1_u64 << 20, 1 << 20].as_ptr(), 0)?;
            sys!(SYS_kill, own(), libc::SIGQUIT).map(drop)
        })
    });
    let _ = fs::remove_file("/tmp/core");
    it.step("no such signal", || sys!(SYS_kill, own(), 99));
    it.step("no such process", || sys!(SYS_kill, NONE, 0));
    it.step("no such group", || sys!(SYS_kill, -NONE, 0));
    it.step("stopped and continued", || {
        let child = fork(|| {
            std::thread::sleep(Duration::from_secs(2));
            Ok(())
        })?;
        let mut status = 0;
        sys!(SYS_kill, child, libc::SIGSTOP)?;
        sys!(SYS_wait4, child, &raw mut status, libc::WUNTRACED, 0)?;
        fs::read(format!("/proc/{child}/stat"))?;
        sys!(SYS_kill, child, libc::SIGCONT)?;
        sys!(SYS_wait4, child, &raw mut status, libc::WCONTINUED, 0)?;
        sys!(SYS_kill, child, libc::SIGKILL)?;
        reap(child)
    });
    it.step("groups and sessions", || {
        in_child(LIMIT, || {
            sys!(SYS_setpgid, 0, 0)?;
            sys!(SYS_getpgid, 0)?;
            sys!(SYS_getsid, NONE).err();
            sys!(SYS_setpgid, 0, NONE).err();
            sys!(SYS_setsid).map(drop)
        })
    });
}

fn tracing(it: &mut Exercise) {
    it.step("ptrace", || {
        let child = fork(|| {
            loop {
                let _ = sys!(SYS_getppid);
                std::thread::sleep(Duration::from_millis(1));
            }
        })?;
        let done = trace(child);
        sys!(SYS_kill, child, libc::SIGKILL)?;
        let _ = reap(child);
        done
    });
    it.step("traced by itself", || {
        in_child(LIMIT, || {
            sys!(SYS_ptrace, 0, 0, 0, 0)?;
            sys!(SYS_ptrace, 0, 0, 0, 0).map(drop)
        })
    });
    it.step("trace no process", || sys!(SYS_ptrace, 16, NONE, 0, 0));
}

fn trace(child: i32) -> io::Result<()> {
    let mut status = 0;
    let mut buffer = [0_u64; 256];
    let data = buffer.as_mut_ptr();
    // PTRACE_SEIZE, PTRACE_INTERRUPT.
    sys!(SYS_ptrace, 0x4206, child, 0, 1)?;
    sys!(SYS_ptrace, 0x4207, child, 0, 0)?;
    let _impatience = Impatience::after(Duration::from_millis(500));
    sys!(SYS_wait4, child, &raw mut status, 0, 0)?;
    // GETREGS, SETREGS, GETFPREGS, GETSIGINFO, GETEVENTMSG, GETSIGMASK, PEEKUSER, syscall information, rseq, none.
    for request in [12, 13, 14, 0x4202, 0x4201, 3, 0x420e, 0x420f, 9999] {
        let _ = sys!(SYS_ptrace, request, child, 8, data);
    }
    // GETREGSET of each note.
    for note in [1, 2, 0x202, 0x200, 0x600, 99] {
        let vector = [data as u64, 2048];
        let _ = sys!(SYS_ptrace, 0x4204, child, note, vector.as_ptr());
        let _ = sys!(SYS_ptrace, 0x4205, child, note, vector.as_ptr());
    }
    let _ = sys!(SYS_ptrace, 1, child, 8, data);
    // To the next system call and one step.
    for request in [24, 24, 9, 31] {
        sys!(SYS_ptrace, request, child, 0, 0)?;
        sys!(SYS_wait4, child, &raw mut status, 0, 0)?;
    }
    sys!(SYS_ptrace, 17, child, 0, 0)?;
    sys!(SYS_ptrace, 17, child, 0, 0).map(drop)
}

fn timers(it: &mut Exercise) {
    for clock in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 99, -6] {
        it.step(format!("clock {clock}"), || {
            let mut time = [0_i64; 2];
            sys!(SYS_clock_gettime, clock, time.as_mut_ptr())?;
            sys!(SYS_clock_getres, clock, time.as_mut_ptr())?;
            let short = [0_i64, 1000];
            // The time of a process that sleeps does not go on.
            let _impatience = Impatience::after(Duration::from_millis(20));
            sys!(SYS_clock_nanosleep, clock, 0, short.as_ptr(), 0)
        });
        it.step(format!("timer of clock {clock}"), || {
            in_child(LIMIT, || {
                // SAFETY: the signal is to be passed over.
                unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
                let mut timer = 0_i32;
                sys!(SYS_timer_create, clock, 0, &raw mut timer)?;
                let mut time = [0_i64, 1_000_000, 0, 1_000_000];
                sys!(SYS_timer_settime, timer, 0, time.as_ptr(), 0)?;
                std::thread::sleep(Duration::from_millis(3));
                sys!(SYS_timer_gettime, timer, time.as_mut_ptr())?;
                sys!(SYS_timer_getoverrun, timer)?;
                fs::read("/proc/self/timers").err();
                sys!(SYS_timer_delete, timer)?;
                sys!(SYS_timer_delete, timer).err();
                sys!(SYS_timer_settime, timer, 0, [0_i64, -1, 0, -1].as_ptr(), 0).err();
                Ok(())
            })
        });
    }
    it.step("interval timers", || {
        in_child(LIMIT, || {
            for which in 0..4 {
                let mut value = [0_i64, 0, 5, 0];
                let _ = sys!(SYS_setitimer, which, value.as_ptr(), 0);
                let _ = sys!(SYS_getitimer, which, value.as_mut_ptr());
            }
            sys!(SYS_alarm, 5)?;
            sys!(SYS_alarm, 0)?;
            sys!(SYS_setitimer, 0, [0_i64, 0, 0, 9_999_999].as_ptr(), 0).map(drop)
        })
    });
    it.step("adjtimex", || {
        let mut value = [0_u64; 26];
        sys!(SYS_adjtimex, value.as_mut_ptr())?;
        sys!(SYS_clock_adjtime, 1, value.as_mut_ptr()).err();
        sys!(SYS_times, value.as_mut_ptr())?;
        sys!(SYS_getrusage, 0, value.as_mut_ptr())?;
        sys!(SYS_getrusage, 9, value.as_mut_ptr())
    });
}

fn futexes(it: &mut Exercise) {
    let mut words = [0_u32; 4];
    let word = words.as_mut_ptr();
    let time = [0_i64, 2_000_000];
    for (name, operation, value) in [
        ("wait", 0, 0),
        ("wait for another value", 0, 7),
        ("wake", 1, 1),
        ("requeue", 3, 1),
        ("compare and requeue", 4, 1),
        ("wake operation", 5, 1),
        ("lock", 6, 0),
        ("lock again", 6, 0),
        ("unlock", 7, 0),
        ("unlock again", 7, 0),
        ("try", 8, 0),
        ("unlock what was tried", 7, 0),
        ("wait by bits", 9, 0),
        ("wake by bits", 10, 1),
        ("wait to be requeued", 11, 0),
        ("requeue to a lock", 12, 1),
        ("lock by the clock", 13, 0),
        ("unlock that", 7, 0),
        ("none", 99, 0),
    ] {
        for private in [0, 128] {
            it.step(format!("futex {name} {private}"), || {
                // Where it is no time it is a number: how many are requeued.
                let fourth = if matches!(operation, 3..=5 | 12) { 1 } else { time.as_ptr() as u64 };
                // SAFETY: a word of this array.
                let other = unsafe { word.add(1) };
                sys!(
                    SYS_futex,
                    word,
                    operation | private,
                    value,
                    fourth,
                    other,
                    if matches!(operation, 4 | 12) { 0 } else { u32::MAX }
                )
            });
        }
    }
    it.step("robust lists", || {
        let mut head = 0_u64;
        let mut length = 0_u64;
        sys!(SYS_get_robust_list, 0, &raw mut head, &raw mut length)?;
        sys!(SYS_set_robust_list, head, 7).err();
        sys!(SYS_set_robust_list, head, 24)
    });
    it.step("waitv", || {
        let waiters = [0_u64, word as u64, 2];
        let when = [0_i64, 0];
        sys::call(449, &[waiters.as_ptr() as i64, 1, 0, when.as_ptr() as i64, 1])
    });
    it.step("rseq", || sys!(SYS_rseq, word, 32, 0, 0x5305_3053));
}

fn scheduling(it: &mut Exercise) {
    for policy in 0..9 {
        it.step(format!("class {policy}"), || {
            in_child(LIMIT, || {
                // struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
                let mut attributes = [0_u64; 7];
                attributes[0] = 48 | (policy << 32);
                attributes[2] = if matches!(policy, 1 | 2) { 5 << 32 } else { 3 };
                if policy == 6 {
                    (attributes[2], attributes[3], attributes[4], attributes[5]) =
                        (0, 100_000, 1_000_000, 1_000_000);
                }
                sys!(SYS_sched_setattr, 0, attributes.as_ptr(), 0)?;
                let mut found = [0_u64; 7];
                sys!(SYS_sched_getattr, 0, found.as_mut_ptr(), 56, 0)?;
                sys!(SYS_sched_yield)?;
                std::thread::sleep(Duration::from_micros(200));
                let mut slice = [0_i64; 2];
                sys!(SYS_sched_rr_get_interval, 0, slice.as_mut_ptr())?;
                sys!(SYS_sched_getscheduler, 0)?;
                sys!(SYS_sched_get_priority_max, policy)?;
                let normal = 0;
                sys!(SYS_sched_setscheduler, 0, 0, &raw const normal).map(drop)
            })
        });
    }
    it.step("bad class", || sys!(SYS_sched_setattr, 0, [48_u64 | 77 << 32, 0, 0, 0, 0, 0].as_ptr(), 0));
    it.step("utilisation clamps", || {
        in_child(LIMIT, || {
            let attributes = [56_u64, 0x60, 0, 0, 0, 0, 100 | 200 << 32];
            sys!(SYS_sched_setattr, 0, attributes.as_ptr(), 0).map(drop)
        })
    });
    it.step("affinity", || {
        let mut mask = [0_u64; 16];
        sys!(SYS_sched_getaffinity, 0, 128, mask.as_mut_ptr())?;
        for cpu in [1_u64, 2, 4, 8] {
            let _ = sys!(SYS_sched_setaffinity, 0, 8, &raw const cpu);
        }
        let none = 0_u64;
        sys!(SYS_sched_setaffinity, 0, 8, &raw const none).err();
        sys!(SYS_sched_setaffinity, 0, 128, mask.as_ptr())?;
        sys!(SYS_sched_getaffinity, 0, 1, mask.as_mut_ptr())
    });
    it.step("priorities", || {
        in_child(LIMIT, || {
            for which in 0..4 {
                let _ = sys!(SYS_getpriority, which, 0);
                let _ = sys!(SYS_setpriority, which, if which == 0 { 0 } else { NONE }, 5);
            }
            for class in 0..5 {
                let _ = sys!(SYS_ioprio_set, 1, 0, class << 13 | 3);
                let _ = sys!(SYS_ioprio_get, class, 0);
            }
            Ok(())
        })
    });
    it.step("core scheduling", || {
        let mut cookie = 0_u64;
        for command in 0..5 {
            let _ = sys!(SYS_prctl, 62, command, 0, 0, &raw mut cookie);
        }
        Ok(())
    });
    it.step("autogroup and comm", || {
        let _ = write("/proc/self/autogroup", b"5");
        write("/proc/self/comm", b"renamed")?;
        write("/proc/self/timerslack_ns", b"100000")
    });
}

fn limits(it: &mut Exercise) {
    for resource in 0..17 {
        it.step(format!("limit {resource}"), || {
            let mut limit = [0_u64; 2];
            sys!(SYS_prlimit64, 0, resource, 0, limit.as_mut_ptr())?;
            sys!(SYS_prlimit64, 0, resource, limit.as_ptr(), 0)?;
            sys!(SYS_prlimit64, NONE, resource, limit.as_ptr(), 0).err();
            sys!(SYS_prlimit64, 0, resource, [2_u64, 1].as_ptr(), 0)
        });
    }
    it.step("too many files", || {
        in_child(LIMIT, || {
            sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, [4_u64, 4].as_ptr(), 0)?;
            (0..5).try_for_each(|_| sys!(SYS_dup, 0).map(drop))
        })
    });
    it.step("too large a file", || {
        in_child(LIMIT, || {
            // SAFETY: the signal is to be passed over.
            unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
            sys!(SYS_prlimit64, 0, libc::RLIMIT_FSIZE, [10_u64, 10].as_ptr(), 0)?;
            fs::write("/tmp/large", [1; 100])
        })
    });
    let _ = fs::remove_file("/tmp/large");
}

/// Each option with arguments that most of them take or refuse, in a child of its own.
fn prctls(it: &mut Exercise) {
    let mut ends = Vec::new();
    for option in 0..80 {
        let mut value = [0_u64; 8];
        let end = in_child(LIMIT, || {
            for second in [0, 1, 2, value.as_mut_ptr() as i64] {
                let _ = sys!(SYS_prctl, option, second, 0, 0, 0);
            }
            sys!(SYS_prctl, option, 1, 1, 1, 1).map(drop)
        });
        ends.push((option, end));
    }
    for (option, end) in ends {
        it.note(&format!("prctl {option}"), end);
    }
}

fn seccomp(it: &mut Exercise) {
    const ALLOW: u64 = 0x7fff_0000_0000_0006;
    const ERROR: u64 = 0x0005_0007_0000_0006;
    const LOAD_NUMBER: u64 = 0x0000_0000_0000_0020;
    let filter = |instructions: &[u64]| {
        let program = [instructions.len() as u64, instructions.as_ptr() as u64];
        sys!(SYS_seccomp, 1, 0, program.as_ptr())
    };
    // if the number is that of getppid, an error; else allowed.
    let jump = 0x0000_0000_0000_0015_u64 | (libc::SYS_getppid as u64) << 32 | 1 << 24;
    it.step("filter", || {
        in_child(LIMIT, || {
            sys!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
            filter(&[LOAD_NUMBER, jump, ERROR, ALLOW])?;
            filter(&[ALLOW])?;
            let _ = fs::read("/proc/self/status");
            sys!(SYS_getppid).map(drop)
        })
    });
    it.step("filter that is wrong", || filter(&[0xffff]));
    it.step("filter that notifies", || {
        in_child(LIMIT, || {
            let program = [1_u64, [ALLOW].as_ptr() as u64];
            let listener = descriptor(sys!(SYS_seccomp, 1, 8, program.as_ptr()))?;
            let mut notification = [0_u64; 10];
            let request = 0xc050_2100_u32;
            let _impatience = Impatience::after(Duration::from_millis(10));
            sys!(SYS_ioctl, listener.as_raw_fd(), request, notification.as_mut_ptr()).map(drop)
        })
    });
    it.step("strict", || {
        in_child(LIMIT, || {
            sys!(SYS_seccomp, 0, 0, 0)?;
            sys!(SYS_getppid).map(drop)
        })
    });
    it.step("actions", || {
        let action = 0x7fff_0000_u32;
        sys!(SYS_seccomp, 2, 0, &raw const action)?;
        let mut sizes = [0_u16; 3];
        sys!(SYS_seccomp, 3, 0, sizes.as_mut_ptr())?;
        sys!(SYS_seccomp, 99, 0, 0)
    });
    it.step("landlock", || {
        in_child(LIMIT, || {
            sys!(SYS_landlock_create_ruleset, 0, 0, 1)?;
            let handled = [0x1fff_u64, 3];
            let rules: OwnedFd = descriptor(sys!(SYS_landlock_create_ruleset, handled.as_ptr(), 8, 0))?;
            let below = fs::File::open("/tmp")?;
            let rule = [4_u64, below.as_raw_fd() as u64];
            sys!(SYS_landlock_add_rule, rules.as_raw_fd(), 1, rule.as_ptr(), 0)?;
            sys!(SYS_landlock_add_rule, rules.as_raw_fd(), 9, rule.as_ptr(), 0).err();
            sys!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
            sys!(SYS_landlock_restrict_self, rules.as_raw_fd(), 0)?;
            fs::read("/tmp/none").err();
            fs::read("/request.json").map(drop)
        })
    });
}

fn credentials(it: &mut Exercise) {
    it.step("users and groups", || {
        in_child(LIMIT, || {
            let groups = [1_u32, 2, 3];
            sys!(SYS_setgroups, 3, groups.as_ptr())?;
            let mut found = [0_u32; 8];
            sys!(SYS_getgroups, 8, found.as_mut_ptr())?;
            sys!(SYS_getgroups, 1, found.as_mut_ptr()).err();
            sys!(SYS_setfsuid, 5)?;
            sys!(SYS_setfsgid, 5)?;
            sys!(SYS_setregid, 5, 6)?;
            sys!(SYS_setresuid, 5, 6, 7)?;
            sys!(SYS_getresuid, found.as_mut_ptr(), found.as_mut_ptr(), found.as_mut_ptr())?;
            sys!(SYS_setgroups, 3, groups.as_ptr()).err();
            sys!(SYS_setuid, 0).map(drop)
        })
    });
    it.step("capabilities", || {
        in_child(LIMIT, || {
            let mut header = [0x2008_0522_u32, 0];
            let mut data = [0_u32; 6];
            sys!(SYS_capget, header.as_mut_ptr(), data.as_mut_ptr())?;
            data[0] &= !1;
            sys!(SYS_capset, header.as_ptr(), data.as_ptr())?;
            sys!(SYS_prctl, libc::PR_CAPBSET_DROP, 5, 0, 0, 0)?;
            sys!(SYS_prctl, 47, 2, 5, 0, 0).err();
            (header[0], header[1]) = (7, 0);
            sys!(SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()).map(drop)
        })
    });
    it.step("names of the host", || {
        in_child(LIMIT, || {
            sys!(SYS_unshare, libc::CLONE_NEWUTS)?;
            sys!(SYS_sethostname, c"pp".as_ptr(), 2)?;
            sys!(SYS_setdomainname, c"pp".as_ptr(), 2)?;
            let mut name = [0_u8; 400];
            sys!(SYS_uname, name.as_mut_ptr())?;
            sys!(SYS_sethostname, c"pp".as_ptr(), 999).map(drop)
        })
    });
}

fn namespaces(it: &mut Exercise) {
    for (name, flag) in [
        ("mnt", libc::CLONE_NEWNS),
        ("uts", libc::CLONE_NEWUTS),
        ("ipc", libc::CLONE_NEWIPC),
        ("user", libc::CLONE_NEWUSER),
        ("pid", libc::CLONE_NEWPID),
        ("net", libc::CLONE_NEWNET),
        ("cgroup", libc::CLONE_NEWCGROUP),
        ("time", 0x80),
    ] {
        it.step(format!("namespace {name}"), || {
            in_child(LIMIT, || {
                let old = fs::File::open(format!("/proc/self/ns/{name}"))?;
                // NS_GET_USERNS, NS_GET_PARENT, NS_GET_NSTYPE, NS_GET_OWNER_UID.
                let mut user = 0_u32;
                for request in [0xb701, 0xb702, 0xb703, 0xb704] {
                    let _ = sys!(SYS_ioctl, old.as_raw_fd(), request, &raw mut user);
                }
                sys!(SYS_unshare, flag)?;
                in_child(LIMIT, || fs::read_link(format!("/proc/self/ns/{name}")).map(drop))?;
                if name == "user" {
                    write("/proc/self/setgroups", b"deny")?;
                    write("/proc/self/uid_map", b"0 0 1")?;
                    write("/proc/self/gid_map", b"0 0 1")?;
                    write("/proc/self/uid_map", b"0 0 1").err();
                    sys!(SYS_unshare, libc::CLONE_NEWNS | libc::CLONE_NEWNET)?;
                    places::mount("tmpfs", "/tmp/user-ns", "")?;
                    places::mount("cgroup2", "/tmp/user-ns", "").err();
                }
                if name == "time" {
                    write("/proc/self/timens_offsets", b"monotonic 100 0\n")?;
                }
                sys!(SYS_setns, old.as_raw_fd(), flag).map(drop)
            })
        });
    }
    it.step("no such namespaces", || sys!(SYS_unshare, 0x1));
    it.step("a namespace of another kind", || {
        let file = fs::File::open("/proc/self/ns/uts")?;
        sys!(SYS_setns, file.as_raw_fd(), libc::CLONE_NEWNET)
    });
    it.step("init of a pid namespace and its children", || {
        in_child(LIMIT, || {
            sys!(SYS_unshare, libc::CLONE_NEWPID | libc::CLONE_NEWNS)?;
            in_child(LIMIT, || {
                places::mount("proc", "/tmp/pid-proc", "")?;
                let _left = fork(|| {
                    std::thread::sleep(LIMIT);
                    Ok(())
                })?;
                fs::read("/tmp/pid-proc/1/status")?;
                places::unmount("/tmp/pid-proc")
            })
        })
    });
}

/// perf_event_open of each kind of event: counted, grouped, mapped, limited, by CPU; and what is none.
fn perf(it: &mut Exercise) {
    for (name, kind, config) in [
        ("cpu clock", 1_u32, 0_u64),
        ("task clock", 1, 1),
        ("page faults", 1, 2),
        ("context switches", 1, 3),
        ("dummy", 1, 9),
        ("bpf output", 1, 10),
        ("hardware", 0, 0),
        ("cache", 3, 0),
        ("raw", 4, 0),
        ("tracepoint", 2, 1),
        ("breakpoint", 5, 0),
        ("none", 999, 0),
    ] {
        for (pid, cpu) in [(0, -1), (-1, 0), (-1, -1)] {
            it.step(format!("perf {name} {pid} {cpu}"), || {
                let mut attributes = [0_u64; 16];
                attributes[0] = u64::from(kind) | 128 << 32;
                attributes[1] = config;
                (attributes[2], attributes[3]) = (100_000, 0x1e7);
                let open = |leader: i32| {
                    descriptor(sys!(SYS_perf_event_open, attributes.as_ptr(), pid, cpu, leader, 8))
                };
                let event = open(-1)?;
                let fd = event.as_raw_fd();
                let member = open(fd);
                // ENABLE, DISABLE, REFRESH, RESET, PERIOD, SET_OUTPUT, SET_FILTER, ID, PAUSE_OUTPUT.
                let mut value = [1_u64; 4];
                for request in
                    [0x2400_u32, 0x2403, 0x4008_2404, 0x2405, 0x4008_2406, 0x8008_2407, 0x4004_2409, 0x2402]
                {
                    let _ = sys!(SYS_ioctl, fd, request, value.as_mut_ptr());
                }
                let mapped = sys!(SYS_mmap, 0, 3 * 4096, 3, libc::MAP_SHARED, fd, 0);
                std::thread::sleep(Duration::from_micros(500));
                let mut counts = [0_u64; 16];
                let _ = sys!(SYS_read, fd, counts.as_mut_ptr(), 128);
                let _ = sys!(SYS_read, fd, counts.as_mut_ptr(), 1);
                let _ = sys!(SYS_ioctl, fd, 0x2401, 0);
                drop(member);
                if let Ok(at) = mapped {
                    sys!(SYS_munmap, at, 3 * 4096)?;
                }
                Ok(())
            });
        }
    }
}
