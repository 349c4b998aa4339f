//! Control groups, version 2: every controller, every file of a new group, limits that are met, tasks that move.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::sys::{c_path, in_child, wrong};
use workloads::walk::{self, FileWalk};
use workloads::{places, sys};

const LIMIT: Duration = Duration::from_secs(15);

/// A user, and a group, that root is not.
const NOBODY: u32 = 65534;

/// What a new group's files say of it that depends on the moment.
const UNSTEADY: [&str; 12] = [
    "stat", "pressure", "events", "current", "peak", "numa", "procs", "threads", "local", "dmem", "cpus",
    "mems",
];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    let root = PathBuf::from("/tmp/cgroup");
    if it
        .step("mount cgroup2", || places::mount("cgroup2", &root, "nsdelegate,memory_recursiveprot"))
        .is_none()
    {
        return;
    }
    it.step("remount", || places::mount_with("none", &root, "cgroup2", libc::MS_REMOUNT, ""));
    it.step("no such option", || places::mount("cgroup2", "/tmp/cgroup-bad", "nonsense"));
    let (group, leaf) = (root.join("pp"), root.join("pp/leaf"));
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        it.step(format!("enable {controller}"), || {
            walk::write(root.join("cgroup.subtree_control"), format!("+{controller}").as_bytes())
        });
    }
    it.step("mkdir", || fs::create_dir(&group));
    it.step("mkdir again", || fs::create_dir(&group));
    it.step("enable below", || {
        let all = controllers.split_whitespace().map(|name| format!("+{name} ")).collect::<String>();
        walk::write(group.join("cgroup.subtree_control"), all.as_bytes())
    });
    it.step("mkdir below", || fs::create_dir(&leaf));
    defaults(it, &leaf);
    let how = FileWalk { keep: &["/tmp/cgroup/pp/cgroup."], write: true, ..FileWalk::default() };
    walk::walk(it, &root, how);
    limits(it, &leaf);
    labels(it, &group);
    tasks(it, &group, &leaf);
    it.step("rmdir with a child", || fs::remove_dir(&group));
    it.step("rmdir below", || fs::remove_dir(&leaf));
    it.step("disable", || walk::write(group.join("cgroup.subtree_control"), b"-memory -pids -cpu -io"));
    it.step("threaded", || walk::write(group.join("cgroup.type"), b"threaded"));
    it.step("no such type", || walk::write(group.join("cgroup.type"), b"domain"));
    it.step("rmdir", || fs::remove_dir(&group));
    it.step("rmdir again", || fs::remove_dir(&group));
    for controller in controllers.split_whitespace() {
        it.step(format!("disable {controller}"), || {
            walk::write(root.join("cgroup.subtree_control"), format!("-{controller}").as_bytes())
        });
    }
    it.step("cgroup of version 1", || places::mount("cgroup", "/tmp/cgroup-1", "none,name=pp"));
    it.step("mkdir of version 1", || fs::create_dir("/tmp/cgroup-1/a"));
    walk::walk(it, "/tmp/cgroup-1", FileWalk { write: true, ..FileWalk::default() });
    it.step("rmdir of version 1", || fs::remove_dir("/tmp/cgroup-1/a"));
    it.step("unmount version 1", || places::unmount("/tmp/cgroup-1"));
    it.step("unmount", || places::unmount(&root));
}

/// The value of each file is a part of the result's name.
fn defaults(it: &mut Exercise, leaf: &Path) {
    let Ok(entries) = fs::read_dir(leaf) else { return };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names.iter().filter(|name| !UNSTEADY.iter().any(|part| name.contains(part))) {
        if let Ok(value) = fs::read_to_string(leaf.join(name)) {
            it.step(format!("{name} is {}", value.trim()), || Ok(()));
        }
    }
}

fn limits(it: &mut Exercise, leaf: &Path) {
    let settings = [
        ("pids.max", "3"),
        ("pids.max", "-1"),
        ("cpu.max", "50000 100000"),
        ("cpu.max", "max"),
        ("cpu.max", "1 1"),
        ("cpu.weight", "200"),
        ("cpu.weight", "0"),
        ("cpu.weight.nice", "-5"),
        ("cpu.idle", "1"),
        ("cpu.idle", "0"),
        ("cpu.uclamp.min", "20.5"),
        ("cpu.uclamp.max", "max"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.cpus", "99999"),
        ("cpuset.mems", "0"),
        ("cpuset.cpus.partition", "member"),
        ("memory.max", "33554432"),
        ("memory.high", "16777216"),
        ("memory.low", "1M"),
        ("memory.min", "50%"),
        ("memory.swap.max", "0"),
        ("memory.oom.group", "1"),
        ("memory.oom.group", "2"),
        // Limits of single devices are block-devices' business: the second time, 7.2 takes its locks in a circle (block/blk-cgroup.c,
        // blkg_conf_prep() and blkcg_activate_policy()), and lockdep is off after that.
        ("io.weight", "default 50"),
        ("hugetlb.2MB.max", "4M"),
        ("hugetlb.2MB.max", "max"),
        ("hugetlb.2MB.rsvd.max", "2M"),
        ("rdma.max", "none hca_handle=1"),
        ("misc.max", "none 1"),
        ("cgroup.max.depth", "1"),
        ("cgroup.max.descendants", "0"),
        ("cgroup.max.descendants", "max"),
        ("cgroup.freeze", "1"),
        ("cgroup.freeze", "0"),
        ("cgroup.freeze", "7"),
        ("cgroup.pressure", "0"),
        ("cgroup.pressure", "1"),
        ("memory.pressure", "some 500000 2000000"),
        ("cpu.pressure", "full 1 1"),
    ];
    for (file, value) in settings {
        it.step(format!("{file} := {value}"), || walk::write(leaf.join(file), value.as_bytes()));
    }
    // How much there is to be reclaimed depends on the moment.
    let _ = walk::write(leaf.join("memory.reclaim"), b"64K");
    it.step("too deep", || fs::create_dir_all(leaf.join("a/b/c")));
    for below in ["a/b", "a"] {
        let _ = fs::remove_dir(leaf.join(below));
    }
}

/// A group below one that has attributes of its own: security modules give it a label after its parent's
/// (security/selinux/hooks.c, `selinux_kernfs_init_security()`, also before a policy is loaded).
fn labels(it: &mut Exercise, group: &Path) {
    let (path, below) = (c_path(group), group.join("labelled"));
    let set = |name: &CStr, value: &CStr, flags: i32| {
        let (value, length) = (value.as_ptr(), value.to_bytes().len());
        sys!(SYS_setxattr, path.as_ptr(), name.as_ptr(), value, length, flags)
    };
    let remove = |name: &CStr| sys!(SYS_removexattr, path.as_ptr(), name.as_ptr());
    for name in [c"security.selinux", c"trusted.pp", c"user.pp", c"system.pp", c"nonsense"] {
        let name_of = name.to_string_lossy();
        it.step(format!("{name_of} of a group"), || set(name, c"kernel", 0));
        it.refused(format!("{name_of} made again"), || set(name, c"kernel", libc::XATTR_CREATE));
        it.step(format!("{name_of} replaced"), || set(name, c"unlabeled", libc::XATTR_REPLACE));
    }
    it.step("a group below one with a label", || {
        fs::create_dir(&below)?;
        fs::remove_dir(&below)
    });
    it.step("a group of another's", || {
        in_child(LIMIT, || {
            let as_nobody = |id: u32| sys!(SYS_setfsgid, id).and(sys!(SYS_setfsuid, id));
            sys!(SYS_fchownat, libc::AT_FDCWD, path.as_ptr(), NOBODY, NOBODY, 0)?;
            as_nobody(NOBODY)?;
            let made = fs::create_dir(&below);
            as_nobody(0)?;
            sys!(SYS_fchownat, libc::AT_FDCWD, path.as_ptr(), 0, 0, 0)?;
            made.and_then(|()| fs::remove_dir(&below))
        })
    });
    for name in [c"security.selinux", c"trusted.pp", c"user.pp"] {
        it.step(format!("{} removed", name.to_string_lossy()), || remove(name));
    }
    it.step("no such attribute", || remove(c"user.pp"));
}

fn tasks(it: &mut Exercise, group: &Path, leaf: &Path) {
    let procs = leaf.join("cgroup.procs");
    it.step("a task moves, forks as far as it may, and is killed", || {
        in_child(LIMIT, || {
            walk::write(&procs, b"0")?;
            let children: Vec<_> = (0..4).map(|_| sys::fork(|| sleep(LIMIT))).collect();
            let refused = children.iter().filter(|child| child.is_err()).count();
            touch_memory(8 << 20)?;
            walk::write(leaf.join("cgroup.freeze"), b"0")?;
            if refused == 0 { wrong("none was refused") } else { Ok(()) }
        })
    });
    it.step("cgroup.kill", || walk::write(leaf.join("cgroup.kill"), b"1"));
    it.step("a task by its number", || {
        let child = sys::fork(|| sleep(LIMIT))?;
        let moved = walk::write(&procs, child.to_string().as_bytes());
        let busy = fs::remove_dir(leaf);
        let frozen = walk::write(leaf.join("cgroup.freeze"), b"1");
        let events = fs::read(leaf.join("cgroup.events"));
        let thawed = walk::write(leaf.join("cgroup.freeze"), b"0");
        sys::stop(child);
        moved.and(frozen).and(events.map(drop)).and(thawed)?;
        if busy.is_ok() { wrong("removed with a task in it") } else { Ok(()) }
    });
    it.step("a group that has groups takes no task", || {
        in_child(LIMIT, || walk::write(group.join("cgroup.procs"), b"0"))
    });
    it.step("no such task", || walk::write(&procs, b"999999"));
    it.step("a namespace", || {
        in_child(LIMIT, || {
            walk::write(&procs, b"0")?;
            sys!(SYS_unshare, libc::CLONE_NEWCGROUP)?;
            fs::read("/proc/self/cgroup")?;
            places::mount("cgroup2", "/tmp/cgroup-inner", "")?;
            places::unmount("/tmp/cgroup-inner")
        })
    });
    let _ = walk::write(leaf.join("cgroup.kill"), b"1");
    std::thread::sleep(Duration::from_millis(50));
}

fn touch_memory(bytes: usize) -> io::Result<()> {
    let memory = vec![1_u8; bytes];
    std::hint::black_box(&memory);
    fs::write("/tmp/cgroup-file", &memory[..1 << 20])?;
    fs::remove_file("/tmp/cgroup-file")
}

fn sleep(time: Duration) -> io::Result<()> {
    std::thread::sleep(time);
    Ok(())
}
