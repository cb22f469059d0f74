//! Who decided what, and when.

use super::*;

#[test]
fn the_log_of_all_decisions_is_listed_and_names_the_user() {
    let pictures = corpus::samples();
    let docent = docent();
    docent.run(["history"]).expect(1);
    let args = [OsStr::new("ingest"), pictures.as_os_str(), OsStr::new("--only=tags,objects")];
    docent.run(args).expect(0);
    let rows = docent.suggestions();
    let of = |kind: &str| rows.iter().find(|row| row["kind"] == kind).expect("a suggestion").clone();
    let (tag, object) = (of("tag"), of("object"));
    let id = |row: &Value| row["id"].as_str().expect("an id").to_owned();
    docent.run(["accept", &id(&tag), "--as", "ada"]).expect(0);
    // Without $USER it is who runs docent.
    let docent = docent.with_variable("USER", "");
    docent.run(["reject", &id(&object)]).expect(0);
    docent.run(["accept", "--all", "--kind", "tag", "--min-confidence", "0", "--as", "grace"]).expect(0);
    let user = std::process::Command::new("id").arg("-un").output().expect("id runs").stdout;
    let user = String::from_utf8(user).expect("a name").trim().to_owned();

    let log = docent.json(["history", "-n", "1000", "--format=json"]);
    let shape = [
        "suggestion_id",
        "at",
        "reviewer",
        "client",
        "action",
        "before",
        "after",
        "asset_id",
        "uri",
        "kind",
        "value",
    ];
    log.iter().for_each(|row| assert_has(row, &shape));
    let times: Vec<&str> = log.iter().map(|row| row["at"].as_str().expect("a time")).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");
    let [.., rejected, accepted] = log.as_slice() else { panic!("{log:?}") };
    assert_eq!((&rejected["reviewer"], &rejected["value"]), (&Value::from(user.as_str()), &object["value"]));
    assert_eq!((&accepted["reviewer"], &accepted["uri"]), (&Value::from("ada"), &tag["uri"]));
    let job: Vec<&Value> = log.iter().filter(|row| row["job"].is_number()).collect();
    assert_eq!(job.len(), log.len() - 2);
    assert!(job.len() > 1 && job.iter().all(|row| row["reviewer"] == "grace"), "{job:?}");

    // Filters, and the same entry by its id.
    let by = |args: &[&str]| docent.json(["history", "-n1000", "--format=json"].iter().chain(args));
    assert_eq!(by(&["--by", "ada"]), std::slice::from_ref(accepted));
    assert_eq!(by(&["--kind", "object"]), std::slice::from_ref(rejected));
    assert_eq!(by(&["--since", "1h"]), log);
    assert_eq!(docent.json(["history", &id(&tag), "--format=json"]), std::slice::from_ref(accepted));
    for nothing in [["--by", "nobody"], ["--since", "2999-01-01"]] {
        docent.run(["history"].iter().chain(&nothing)).expect(1);
    }
    for wrong in
        [&["--since", "yesterday"][..], &["--kind", "smell"], &["-n", "x"], &["3fa9c1", "--by", "ada"]]
    {
        let refused = docent.run(["history"].iter().chain(wrong)).expect(2);
        assert!(!refused.stderr.is_empty() && refused.stdout.is_empty(), "{refused:?}");
    }

    // A job is one line.
    let table = docent.run(["history"]).expect(0).stdout;
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.contains(&format!(", and {} more", job.len() - 1)), "{table}");
    let cut = docent.run(["history", "-n", "1"]).expect(0);
    assert!(cut.stderr.contains("-n NUMBER lists more"), "{cut:?}");
    let checked = docent.json(["doctor", "--format=json"]);
    let reviewer = checked.iter().find(|finding| finding["check"] == "reviewer").expect("is told");
    assert!(reviewer["detail"].as_str().is_some_and(|detail| detail.starts_with(&user)), "{reviewer}");
}
