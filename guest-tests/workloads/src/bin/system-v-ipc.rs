//! System V IPC: several objects of each kind, by key and without, and whether what was put into one comes out of it, of no
//! other one, and in its order; waiters that are woken, limits, and what is left when an object is removed.

use std::fs;
use std::io;
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::sys;
use workloads::sys::{fork, in_child, reap, wrong};

const LIMIT: Duration = Duration::from_secs(15);
/// A waiter has to sleep by then.
const ASLEEP: Duration = Duration::from_millis(200);

const NOWAIT: i64 = 0x800;
const KEYS: [i64; 4] = [7, 8, 9, libc::IPC_PRIVATE as i64];
const NEW: i64 = (libc::IPC_CREAT | 0o600) as i64;
const ONLY_NEW: i64 = NEW | libc::IPC_EXCL as i64;

const REMOVE: i64 = 0;
const SET: i64 = 1;
const STAT: i64 = 2;

pub fn main() {
    exercise::run(exercise);
}

/// In a namespace of its own: what is left goes with it.
fn exercise(it: &mut Exercise) {
    it.step("own IPC", || sys!(SYS_unshare, libc::CLONE_NEWIPC));
    it.step("shared memory", shared_memory);
    it.step("semaphores", semaphores);
    it.step("semaphores that are waited for", || in_child(LIMIT, waited_semaphores));
    it.step("messages", messages);
    it.step("messages that are waited for", || in_child(LIMIT, waited_messages));
    it.step("limits", limits);
    it.step("another user", || in_child(LIMIT, another_user));
    it.step("what is left goes with the namespace", left_over);
}

/// Objects by each of [`KEYS`], made by `get`, which is given a key and flags. No two of them are the same, and one that has a key is
/// found by it.
fn several(get: impl Fn(i64, i64) -> io::Result<i64>) -> io::Result<Vec<i64>> {
    let mut numbers = Vec::new();
    for key in KEYS {
        numbers.push(get(key, ONLY_NEW)?);
    }
    let mut all = numbers.clone();
    all.sort_unstable();
    all.dedup();
    if all.len() != KEYS.len() || all[0] < 0 {
        return wrong("two objects have one number");
    }
    for (key, number) in KEYS.iter().zip(&numbers).take(3) {
        if get(*key, 0)? != *number {
            return wrong("another object is found by the key");
        }
        refused(get(*key, ONLY_NEW), libc::EEXIST)?;
    }
    refused(get(99, 0), libc::ENOENT)?;
    Ok(numbers)
}

fn refused<T>(end: io::Result<T>, errno: i32) -> io::Result<()> {
    match end {
        Ok(_) => wrong("it was accepted"),
        Err(error) if error.raw_os_error() == Some(errno) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The words of a `struct …id64_ds` (include/uapi/asm-generic/ipcbuf.h and its like).
type IpcStatus = [u64; 32];

fn shared_memory() -> io::Result<()> {
    let numbers = several(|key, flags| sys!(SYS_shmget, key, 8192, flags))?;
    refused(sys!(SYS_shmget, KEYS[0], 99_999, 0), libc::EINVAL)?;
    let mut places = Vec::new();
    for number in &numbers {
        // One to write by, one to read by: SHM_RDONLY.
        let (written, read) = (sys!(SYS_shmat, *number, 0, 0)?, sys!(SYS_shmat, *number, 0, 0o10000)?);
        // SAFETY: it was mapped, is as long, and has no other reference.
        unsafe { (written as *mut i64).write_volatile(*number) };
        places.push((written, read));
    }
    for (number, (_, read)) in numbers.iter().zip(&places) {
        // SAFETY: as above.
        if unsafe { (*read as *const i64).read_volatile() } != *number {
            return wrong("something else is in the segment");
        }
        let mut status: IpcStatus = [0; 32];
        sys!(SYS_shmctl, *number, STAT, status.as_mut_ptr())?;
        if status[11] != 2 {
            return wrong("it is attached a number of times that is not 2");
        }
        // IPC_SET, SHM_STAT, SHM_INFO, SHM_STAT_ANY, SHM_LOCK, SHM_UNLOCK, IPC_INFO.
        for command in [SET, 13, 14, 15, 11, 12, 3] {
            let _ = sys!(SYS_shmctl, *number, command, status.as_mut_ptr());
        }
    }
    fs::read("/proc/sysvipc/shm")?;
    in_child(LIMIT, || sys!(SYS_shmdt, places[0].0).map(drop))?;
    for (number, (written, read)) in numbers.iter().zip(places) {
        // Its memory is there as long as it is attached.
        sys!(SYS_shmctl, *number, REMOVE, 0)?;
        // SAFETY: as above.
        if unsafe { (read as *const i64).read_volatile() } != *number {
            return wrong("the segment was emptied too early");
        }
        sys!(SYS_shmdt, written)?;
        sys!(SYS_shmdt, read)?;
        refused(sys!(SYS_shmdt, read), libc::EINVAL)?;
        let mut status: IpcStatus = [0; 32];
        refused(sys!(SYS_shmctl, *number, STAT, status.as_mut_ptr()), libc::EINVAL)?;
    }
    // SHM_HUGETLB, for which there may be no pages.
    let _ = sys!(SYS_shmget, 12, 4 << 20, NEW | 0o4000);
    Ok(())
}

const GET_VALUE: i64 = 12;
const SET_VALUE: i64 = 16;
const GET_ALL: i64 = 13;
const SET_ALL: i64 = 17;
const UNDO: i16 = 0x1000;

/// `struct sembuf`: which one, how much, flags.
fn operate(number: i64, operations: &[[i16; 3]]) -> io::Result<()> {
    sys!(SYS_semop, number, operations.as_ptr(), operations.len()).map(drop)
}

fn value(number: i64, which: i64) -> io::Result<i64> {
    sys!(SYS_semctl, number, which, GET_VALUE, 0)
}

fn semaphores() -> io::Result<()> {
    let numbers = several(|key, flags| sys!(SYS_semget, key, 3, flags))?;
    for (at, number) in numbers.iter().enumerate() {
        let values = [at as u16 + 1, 20, 30];
        sys!(SYS_semctl, *number, 0, SET_ALL, values.as_ptr())?;
    }
    for (at, number) in numbers.iter().enumerate() {
        let mut values = [0_u16; 3];
        sys!(SYS_semctl, *number, 0, GET_ALL, values.as_mut_ptr())?;
        if values != [at as u16 + 1, 20, 30] {
            return wrong("other values came back");
        }
        // All of it or nothing.
        let together = [[0, -1, 0], [1, 5, 0], [2, -31, NOWAIT as i16]];
        refused(operate(*number, &together), libc::EAGAIN)?;
        operate(*number, &together[..2])?;
        if (value(*number, 0)?, value(*number, 1)?, value(*number, 2)?) != (at as i64, 25, 30) {
            return wrong("the operations came to something else");
        }
        // Taken back when the task ends.
        in_child(LIMIT, || operate(*number, &[[1, -3, UNDO], [2, 4, UNDO]]))?;
        if (value(*number, 1)?, value(*number, 2)?) != (25, 30) {
            return wrong("what was to be undone was not");
        }
        refused(operate(*number, &[[1, 32_767, 0]]), libc::ERANGE)?;
        refused(operate(*number, &[[3, 1, 0]]), libc::EFBIG)?;
        refused(sys!(SYS_semctl, *number, 99, SET_VALUE, 5), libc::EINVAL)?;
        refused(sys!(SYS_semctl, *number, 0, SET_VALUE, -1), libc::ERANGE)?;
        let mut status: IpcStatus = [0; 32];
        sys!(SYS_semctl, *number, 0, STAT, status.as_mut_ptr())?;
        // IPC_SET, GETPID, GETNCNT, GETZCNT, SEM_STAT, SEM_INFO, SEM_STAT_ANY.
        for command in [SET, 11, 14, 15, 18, 19, 20] {
            let _ = sys!(SYS_semctl, *number, 0, command, status.as_mut_ptr());
        }
    }
    fs::read("/proc/sysvipc/sem")?;
    for number in numbers {
        sys!(SYS_semctl, number, 0, REMOVE, 0)?;
        refused(operate(number, &[[0, 1, 0]]), libc::EINVAL)?;
    }
    Ok(())
}

/// Waits in a child until `wake` was done, and gives how the wait ended.
fn waiter(wait: impl FnOnce() -> io::Result<()>, wake: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let child = fork(wait)?;
    std::thread::sleep(ASLEEP);
    wake()?;
    reap(child)
}

fn waited_semaphores() -> io::Result<()> {
    let number = sys!(SYS_semget, 21, 2, NEW)?;
    waiter(
        || operate(number, &[[0, -2, 0]]),
        || operate(number, &[[0, 1, 0]]).and_then(|()| operate(number, &[[0, 1, 0]])),
    )?;
    // Until it is nothing.
    operate(number, &[[1, 1, 0]])?;
    waiter(|| operate(number, &[[1, 0, 0]]), || sys!(SYS_semctl, number, 1, SET_VALUE, 0).map(drop))?;
    let time = [0_i64, 1_000_000];
    let takes = [0_i16, -1, 0];
    refused(sys!(SYS_semtimedop, number, takes.as_ptr(), 1, time.as_ptr()), libc::EAGAIN)?;
    let gone = || refused(operate(number, &[[0, -1, 0]]), libc::EIDRM);
    waiter(gone, || sys!(SYS_semctl, number, 0, REMOVE, 0).map(drop))
}

/// `struct msgbuf` with 56 bytes of text.
type QueuedMessage = [i64; 8];
const TEXT: i64 = 56;

fn send(number: i64, kind: i64, word: i64) -> io::Result<()> {
    let message: QueuedMessage = [kind, word, 0, 0, 0, 0, 0, word];
    sys!(SYS_msgsnd, number, message.as_ptr(), TEXT, NOWAIT).map(drop)
}

/// The first one of a kind: 0 of any, below 0 of the lowest up to that.
fn receive(number: i64, kind: i64, flags: i64) -> io::Result<(i64, i64)> {
    let mut message: QueuedMessage = [0; 8];
    let length = sys!(SYS_msgrcv, number, message.as_mut_ptr(), TEXT, kind, flags)?;
    if length != TEXT || message[1] != message[7] {
        return wrong("the text is another one");
    }
    Ok((message[0], message[1]))
}

/// Bytes in a queue, and messages.
fn filled(number: i64) -> io::Result<(u64, u64)> {
    let mut status: IpcStatus = [0; 32];
    sys!(SYS_msgctl, number, STAT, status.as_mut_ptr())?;
    Ok((status[9], status[10]))
}

fn messages() -> io::Result<()> {
    let numbers = several(|key, flags| sys!(SYS_msgget, key, flags))?;
    for number in &numbers {
        for kind in [5, 3, 9, 3] {
            send(*number, kind, *number * 100 + kind)?;
        }
        refused(send(*number, 0, 0), libc::EINVAL)?;
        let message: QueuedMessage = [1; 8];
        refused(sys!(SYS_msgsnd, *number, message.as_ptr(), 1 << 20, NOWAIT), libc::EINVAL)?;
    }
    for number in &numbers {
        if filled(*number)? != (4 * TEXT as u64, 4) {
            return wrong("there is something else in the queue");
        }
        let mut short: QueuedMessage = [0; 8];
        refused(sys!(SYS_msgrcv, *number, short.as_mut_ptr(), 8, 0, NOWAIT), libc::E2BIG)?;
        // MSG_COPY: the one at that place. MSG_EXCEPT: of any other kind.
        let taken = [
            receive(*number, 2, 0o40000 | NOWAIT)?,
            receive(*number, 5, 0o20000 | NOWAIT)?,
            receive(*number, -9, NOWAIT)?,
            receive(*number, 9, NOWAIT)?,
            receive(*number, 0, NOWAIT)?,
        ];
        let kinds = [9, 3, 3, 9, 5];
        if taken.iter().zip(kinds).any(|(taken, kind)| *taken != (kind, *number * 100 + kind)) {
            return wrong("another message was taken");
        }
        refused(receive(*number, 0, NOWAIT), libc::ENOMSG)?;
        // MSG_NOERROR: what is too long is cut.
        send(*number, 1, 1)?;
        sys!(SYS_msgrcv, *number, short.as_mut_ptr(), 8, 0, 0o10000 | NOWAIT)?;
        // IPC_SET, IPC_INFO, MSG_STAT, MSG_INFO, MSG_STAT_ANY.
        let mut status: IpcStatus = [0; 32];
        sys!(SYS_msgctl, *number, STAT, status.as_mut_ptr())?;
        for command in [SET, 3, 11, 12, 13] {
            let _ = sys!(SYS_msgctl, *number, command, status.as_mut_ptr());
        }
        send(*number, 1, 1)?;
    }
    fs::read("/proc/sysvipc/msg")?;
    for number in numbers {
        sys!(SYS_msgctl, number, REMOVE, 0)?;
        refused(send(number, 1, 1), libc::EINVAL)?;
    }
    Ok(())
}

fn waited_messages() -> io::Result<()> {
    let number = sys!(SYS_msgget, 21, NEW)?;
    let comes = || match receive(number, 4, 0)? {
        (4, 44) => Ok(()),
        _ => wrong("another message came"),
    };
    waiter(comes, || send(number, 3, 33).and_then(|()| send(number, 4, 44)))?;
    // Until there is room.
    while send(number, 6, 6).is_ok() {}
    let message: QueuedMessage = [7, 7, 0, 0, 0, 0, 0, 7];
    let sends = || sys!(SYS_msgsnd, number, message.as_ptr(), TEXT, 0).map(drop);
    waiter(sends, || receive(number, 6, 0).and_then(|_| receive(number, 6, 0)).map(drop))?;
    if receive(number, 7, NOWAIT)? != (7, 7) {
        return wrong("what was waited with did not come");
    }
    let gone = || refused(receive(number, 99, 0), libc::EIDRM);
    waiter(gone, || sys!(SYS_msgctl, number, REMOVE, 0).map(drop))
}

/// As many as a namespace may have (/proc/sys/kernel), and what one too many is told.
fn limits() -> io::Result<()> {
    fs::write("/proc/sys/kernel/msgmni", "3")?;
    fs::write("/proc/sys/kernel/shmmni", "3")?;
    fs::write("/proc/sys/kernel/sem", "250 32000 32 3")?;
    type Make = fn() -> io::Result<i64>;
    type Remove = fn(i64) -> io::Result<i64>;
    let kinds: [(Make, Remove); 3] = [
        (|| sys!(SYS_msgget, 0, NEW), |number| sys!(SYS_msgctl, number, REMOVE, 0)),
        (|| sys!(SYS_shmget, 0, 4096, NEW), |number| sys!(SYS_shmctl, number, REMOVE, 0)),
        (|| sys!(SYS_semget, 0, 2, NEW), |number| sys!(SYS_semctl, number, 0, REMOVE, 0)),
    ];
    for (get, control) in kinds {
        let (first, second, third) = (get()?, get()?, get()?);
        refused(get(), libc::ENOSPC)?;
        control(second)?;
        let again = get()?;
        if again == second {
            return wrong("a number was given out again at once");
        }
        for number in [first, third, again] {
            control(number)?;
        }
        refused(control(first), libc::EINVAL)?;
    }
    Ok(())
}

/// One who may not: by the mode of an object, and by whose it is.
fn another_user() -> io::Result<()> {
    let closed = sys!(SYS_msgget, 31, NEW)?;
    let open = sys!(SYS_msgget, 32, NEW | 0o066)?;
    let segment = sys!(SYS_shmget, 31, 4096, NEW)?;
    sys!(SYS_setresuid, 1000, 1000, 1000)?;
    refused(sys!(SYS_msgget, 31, 0o600), libc::EACCES)?;
    refused(send(closed, 1, 1), libc::EACCES)?;
    send(open, 1, 1)?;
    refused(sys!(SYS_msgctl, open, REMOVE, 0), libc::EPERM)?;
    refused(sys!(SYS_shmat, segment, 0, 0), libc::EACCES)
}

fn left_over() -> io::Result<()> {
    let memory = sys!(SYS_shmget, 41, 65_536, NEW)?;
    let at = sys!(SYS_shmat, memory, 0, 0)?;
    let queue = sys!(SYS_msgget, 41, NEW)?;
    send(queue, 1, 1)?;
    sys!(SYS_semget, 41, 9, NEW)?;
    sys!(SYS_unshare, libc::CLONE_NEWIPC)?;
    refused(send(queue, 1, 1), libc::EINVAL)?;
    sys!(SYS_shmdt, at).map(drop)
}
