//! What only another namespace can show: a drive that leaves, and a system that watches no more folders. Where this user may not
//! make one, these tests are skipped, and say so.

use std::fs;
use std::process::Command;
use std::time::Duration;

use docent_tests::program::{Docent, Running};

use super::program::{told, until_told};
use super::{picture, sample};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const LIMIT: Duration = Duration::from_secs(300);
const CHEAP: &str = "analyzers.enabled = [\"tags\"]\n";

/// Whether `script` runs as root of a namespace of its own.
fn may(script: &str) -> bool {
    let tried = Command::new("unshare").args(["-Urm", "sh", "-c", script]).output();
    let may = tried.is_ok_and(|tried| tried.status.success());
    if !may {
        eprintln!("skipped: this user may not make namespaces");
    }
    may
}

fn docent() -> Docent {
    let docent = Docent::new(PROGRAM);
    docent.configure(CHEAP);
    fs::create_dir(docent.folder().join("pictures")).expect("a folder");
    docent
}

/// `docent watch pictures` after `script`, in a namespace of its own.
fn watch(docent: &Docent, script: &str, more: &[&str]) -> Running {
    let args = ["watch", "pictures", "--settle", "1", "--format=json"];
    docent.start_after(script, args.iter().chain(more))
}

/// A file by which the test and the script speak.
fn until_there(docent: &Docent, running: &mut Running, name: &str) {
    let path = docent.folder().join(name);
    let is_there = running.watch(LIMIT, |_| path.exists());
    assert!(is_there, "{name}:\n{}\n{}", running.stdout(), running.stderr());
}

#[test]
fn a_system_without_more_watches_is_swept() {
    const FEW: &str = "echo 3 > /proc/sys/user/max_inotify_watches";
    if !may(FEW) {
        return;
    }
    let docent = docent();
    for folder in 0..9 {
        fs::create_dir(docent.folder().join(format!("pictures/{folder}"))).expect("a folder");
    }
    let mut watching = watch(&docent, FEW, &["--sweep", "1"]);
    watching.until_printed("\"polled\"");
    watching.until_printed("fs.inotify.max_user_watches");
    for folder in 0..9 {
        let path = docent.folder().join(format!("pictures/{folder}/a.jpg"));
        fs::write(path, picture(folder)).expect("is written");
    }
    until_told(&mut watching, "new", 9);
    watching.signal("INT");
    let ended = watching.wait().expect(0);
    let said = ended.stdout.matches("max_user_watches").count();
    assert_eq!(said, 1, "it is said once: {}", ended.stdout);
}

#[test]
fn a_system_without_more_watchers_is_swept() {
    const NONE: &str = "echo 0 > /proc/sys/user/max_inotify_instances";
    if !may(NONE) {
        return;
    }
    let docent = docent();
    let mut watching = watch(&docent, NONE, &["--sweep", "1"]);
    watching.until_printed("fs.inotify.max_user_instances");
    fs::write(docent.folder().join("pictures/a.jpg"), picture(1)).expect("is written");
    until_told(&mut watching, "new", 1);
    watching.signal("INT");
    watching.wait().expect(0);
}

/// A drive leaves, and its mount point stays: empty for the folder itself, and beside other files for one below it.
#[test]
fn nothing_on_an_unmounted_drive_is_gone() {
    if !may("mount -t tmpfs none /mnt") {
        return;
    }
    let docent = docent();
    let picture = sample();
    let script = format!(
        "mount -t tmpfs none pictures && mkdir pictures/nas && mount -t tmpfs none pictures/nas\n\
         cp '{0}' pictures/a.jpg && cp '{0}' pictures/nas/b.jpg && echo >> pictures/nas/b.jpg\n\
         ( await() {{ while [ ! -e $1 ]; do kill -0 $$ 2>/dev/null && sleep 0.05 || exit; done; }}\n\
           await inner && umount -l pictures/nas && touch inner.done\n\
           await outer && umount -l pictures && touch outer.done ) &",
        picture.display()
    );
    let mut watching = watch(&docent, &script, &["--sweep", "1"]);
    let seen = watching.watch(LIMIT, |running| told(running, "new") + told(running, "copies") == 2);
    assert!(seen, "{}\n{}", watching.stdout(), watching.stderr());
    fs::write(docent.folder().join("inner"), "").expect("is written");
    until_there(&docent, &mut watching, "inner.done");
    // Three sweeps see the picture that is left.
    let found = |running: &Running| running.progress().and_then(|event| event["found"].as_u64()).unwrap_or(0);
    let before = found(&watching);
    let seen = watching.watch(LIMIT, |running| found(running) >= before + 3);
    assert!(seen, "{}", watching.stdout());
    fs::write(docent.folder().join("outer"), "").expect("is written");
    until_there(&docent, &mut watching, "outer.done");
    watching.until_printed("\"away\"");
    assert!(watching.stdout().contains("its drive is not mounted"), "{}", watching.stdout());
    watching.signal("INT");
    let ended = watching.wait().expect(0);
    assert!(!ended.stdout.contains("\"gone\":1") && !ended.stdout.contains("\"gone\":2"), "{}", ended.stdout);
}

/// More than the system keeps for a process that does not listen.
#[test]
fn events_that_the_system_drops_are_made_up_for() {
    let docent = docent();
    let folder = docent.folder().join("pictures");
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap_or_default();
    let queued: usize = limit.trim().parse().unwrap_or(16_384);
    if queued > 65_536 {
        eprintln!("skipped: this system keeps {queued} events");
        return;
    }
    let mut watching = docent.start(["watch", "pictures", "--settle", "1", "--format=json", "-v"]);
    watching.until_printed("\"watched\"");
    fs::write(folder.join("first.jpg"), picture(0)).expect("is written");
    until_told(&mut watching, "new", 1);
    watching.signal("STOP");
    // Each is two events at least: it is made, and it goes.
    for i in 0..queued {
        let path = folder.join(format!("{i}.txt"));
        fs::write(&path, "x").expect("is written");
        fs::remove_file(&path).expect("is removed");
    }
    fs::write(folder.join("last.jpg"), picture(1)).expect("is written");
    watching.signal("CONT");
    until_told(&mut watching, "new", 2);
    assert!(watching.stderr().contains("more happens than can be followed"), "{}", watching.stderr());
    watching.signal("INT");
    watching.wait().expect(0);
}
