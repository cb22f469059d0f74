//! Options from every source, and what is said of wrong ones.

use docent_models::session::{Policy, Provider};

use super::*;
use crate::config::{IndexBackend, QueueBackend, StoreBackend};

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("c.toml");
    std::fs::write(&path, file).expect("is written");
    let overrides = Overrides { file: Some(path), ..Overrides::default() };
    load_with(&overrides, variables)
}

fn load_with(overrides: &Overrides, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let home = [("HOME", "/home/ada"), ("USER", "ada")];
    let environment = home.iter().chain(variables).map(|(k, v)| (k.into(), v.into())).collect();
    Config::load_from(overrides, &environment)
}

fn refused(file: &str, variables: &[(&str, &str)]) -> (String, String) {
    let error = load(file, variables).expect_err("is refused");
    (error.to_string(), error.hint())
}

#[test]
fn the_defaults_load_and_are_computed_where_they_say_so() {
    let config = load_with(&Overrides::default(), &[]).expect("loads");
    assert_eq!(config.data_dir, Path::new("/home/ada/.local/share/docent"));
    assert_eq!(config.sources.absent.as_deref(), Some(Path::new("/home/ada/.config/docent/config.toml")));
    assert!(config.models_dir.join("manifest.toml").is_file());
    assert_eq!(config.reviewer, "ada");
    assert_eq!(config.onnxruntime, None);
    assert_eq!(config.http.token.reveal(), None);
    assert!(config.in_flight() >= 1 && config.sessions() >= 1);
    assert!(config.ahead() >= 1 && config.places() == config.in_flight() + config.ahead());
}

#[test]
fn the_defaults_are_those_of_the_rules() {
    let config = load_with(&Overrides::default(), &[]).expect("loads");
    let options = config.pipeline_options();
    assert_eq!(options.tags, docent_pipelines::classes::TagRule::default());
    assert_eq!(options.faces, docent_pipelines::analyzers::FaceRule::default());
    assert_eq!(config.decode_limits(), docent_pipelines::DecodeLimits::default());
}

#[test]
fn roots_are_absolute_wherever_they_come_from() {
    assert!(load("", &[]).expect("loads").assets.roots.is_empty());
    let config = load("[assets]\nroots = ['scans', '~/archive', '/mnt/a']\n", &[]).expect("loads");
    assert!(config.assets.roots[0].is_absolute() && config.assets.roots[0].ends_with("scans"));
    assert_eq!(config.assets.roots[1..], [Path::new("/home/ada/archive"), Path::new("/mnt/a")]);
    let config = load("", &[("DOCENT_ASSETS_ROOTS", "/mnt/a, ~/b")]).expect("loads");
    assert_eq!(config.assets.roots, [Path::new("/mnt/a"), Path::new("/home/ada/b")]);
}

#[test]
fn watched_folders_are_sections_or_paths() {
    let file = "[[watch]]\npath = 'scans'\n[[watch]]\npath = '~/in'\nowner = 'press'\npoll_seconds = 60\n";
    let config = load(file, &[]).expect("loads");
    let [scans, incoming] = &config.watched()[..] else { panic!("two folders") };
    assert!(scans.path.is_absolute() && scans.path.ends_with("scans") && scans.owner.is_none());
    assert_eq!((scans.sweep.as_secs(), scans.settle.as_secs(), scans.poll), (900, 5, None));
    assert_eq!(incoming.path, Path::new("/home/ada/in"));
    assert_eq!((incoming.owner.as_ref().map(ToString::to_string)), Some("press".to_owned()));
    assert_eq!(incoming.poll.map(|poll| poll.as_secs()), Some(60));
    let config = load("", &[("DOCENT_WATCH", "/mnt/a, ~/b")]).expect("loads");
    let paths: Vec<_> = config.watched().into_iter().map(|folder| folder.path).collect();
    assert_eq!(paths, [Path::new("/mnt/a"), Path::new("/home/ada/b")]);
    let (message, _) = refused("", &[("DOCENT_WATCH", "~/a,/home/ada/a/b")]);
    assert!(message.starts_with("variable DOCENT_WATCH: watch.1.path is \"/home/ada/a/b\""), "{message}");
    let (message, _) = refused("[[watch]]\npath = 'a'\nsettle_seconds = 9999\n", &[]);
    assert!(message.ends_with("watch.0.settle_seconds is 9999, but must be from 1 to 3600"), "{message}");
}

#[test]
fn every_default_is_explained() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(lines[index - 1].starts_with("# "), "{line}");
        }
    }
}

#[test]
fn flags_go_before_variables_before_files_before_defaults() {
    let file = "data_dir = '/file'\n[work]\nin_flight = 3\nmax_attempts = 7";
    let variables = [
        ("DOCENT_WORK_IN_FLIGHT", "4"),
        ("DOCENT_DATA_DIR", "/variable"),
        ("DOCENT_ANALYZERS_ENABLED", "tags, text"),
        ("DOCENT_LOG", "info"),
    ];
    let config = load(file, &variables).expect("loads");
    assert_eq!((config.work.in_flight, config.work.max_attempts), (4, 7));
    assert_eq!(config.data_dir, Path::new("/variable"));
    assert_eq!(config.analyzers.enabled.len(), 2);
    assert_eq!(config.log.level, "info");
    assert_eq!(load("", &[("DOCENT_WORK__IN_FLIGHT", "5")]).expect("loads").work.in_flight, 5);
    let overrides = Overrides { data_dir: Some("/flag".into()), ..Overrides::default() };
    assert_eq!(load_with(&overrides, &variables).expect("loads").data_dir, Path::new("/flag"));
}

#[test]
fn paths_in_a_file_count_from_its_folder_or_from_home() {
    let config = load("data_dir = 'd'\n[text]\ntessdata = '~/t'", &[]).expect("loads");
    assert!(config.data_dir.is_absolute() && config.data_dir.ends_with("d"));
    assert!(!config.data_dir.starts_with(std::env::current_dir().expect("a folder")));
    assert_eq!(config.text.tessdata.as_deref(), Some(Path::new("/home/ada/t")));
}

#[test]
fn errors_name_the_file_the_option_and_what_it_could_be() {
    let (message, hint) = refused("[work]\nin_flight = 'many'", &[]);
    assert!(message.contains("c.toml: work.in_flight is \"many\""), "{message}");
    assert!(message.ends_with("must be a whole number that is not negative"), "{message}");
    assert!(hint.contains("in_flight = 0"), "{hint}");
    let (message, _) = refused("[log]\nformat = 'xml'", &[]);
    assert!(message.ends_with("log.format is \"xml\", but must be \"text\" or \"json\""), "{message}");
    let (message, _) = refused("[tags]\nmin_probability = 1.5", &[]);
    assert!(message.contains("tags.min_probability is 1.5, but must be a number from 0 to 1"), "{message}");
    let (message, _) = refused("", &[("DOCENT_WORK_MAX_ATTEMPTS", "x")]);
    assert!(
        message.starts_with("variable DOCENT_WORK_MAX_ATTEMPTS: work.max_attempts is \"x\""),
        "{message}"
    );
    let (message, _) = refused("[http]\nlisten = 'localhost'", &[]);
    assert!(message.contains("an address with a port"), "{message}");
    let (message, _) = refused("[analyzers]\nenabled = ['decode']", &[]);
    assert!(message.contains("chosen among"), "{message}");
    let (message, _) = refused("work = 3", &[]);
    assert!(message.contains("work is 3, but must be a section"), "{message}");
}

#[test]
fn addresses_choose_backends_and_are_never_shown() {
    let config = load("", &[]).expect("loads");
    assert!(matches!(config.backends.queue(), QueueBackend::Memory));
    assert!(matches!(config.backends.store(), StoreBackend::Sqlite));
    assert!(matches!(config.backends.vectors(), IndexBackend::Embedded));
    let queue = ("DOCENT_BACKENDS_QUEUE", "amqp://ada:hunter2@mq/docent");
    let store = ("DOCENT_BACKENDS_STORE", "postgres://ada:hunter2@db/docent");
    let config = load("[backends]\nvectors = 'http://hunter2@qdrant:6334'", &[queue, store]).expect("loads");
    assert!(matches!(config.backends.queue(), QueueBackend::Rabbit(_)));
    assert!(matches!(config.backends.store(), StoreBackend::Postgres(_)));
    assert!(matches!(config.backends.vectors(), IndexBackend::Qdrant(_)));
    assert!(!format!("{config:?}").contains("hunter2"));
    let (message, _) = refused("", &[queue]);
    assert!(message.contains("where the queue is shared"), "{message}");
    let (message, _) = refused("", &[("DOCENT_BACKENDS_STORE", "mysql://ada:hunter2@db/docent")]);
    assert!(message.contains("backends.store is \"mysql:…\", but must be"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
    let (message, _) = refused("[backends]\nevents = true", &[]);
    assert!(message.contains("backends.events is true"), "{message}");
}

#[test]
fn devices_are_asked_for_in_order_and_only_as_they_can_be() {
    let config = load("", &[]).expect("loads");
    assert_eq!(
        (config.device.providers.as_slice(), config.device.policy),
        (&[Provider::Cpu][..], Policy::Preferred)
    );
    assert_eq!(config.device.engine_cache.as_deref(), Some(Path::new("/home/ada/.cache/docent/engines")));
    let variables = [
        ("DOCENT_DEVICE_PROVIDERS", "tensorrt, cuda,cpu"),
        ("DOCENT_DEVICE_DEVICES", "0,2"),
        ("DOCENT_DEVICE_ENGINE_CACHE", "~/engines"),
        ("DOCENT_DEVICE_FP16", "true"),
    ];
    let config = load("[device]\npolicy = 'required'\nmax_batch = 8\nmemory_limit_mb = 512", &variables)
        .expect("loads");
    let options = config.pipeline_options();
    assert_eq!((options.gpu_sessions, options.gpu_max_batch), (2, 8));
    let device = &*options.session.device;
    assert_eq!(device.providers, [Provider::TensorRt, Provider::Cuda, Provider::Cpu]);
    assert_eq!((device.policy, device.memory_limit_mb, device.fp16), (Policy::Required, 512, true));
    assert_eq!(device.devices, [0, 2]);
    assert_eq!(device.engine_cache.as_deref(), Some(Path::new("/home/ada/engines")));

    for (option, said) in [
        (
            "providers = ['cpu', 'cuda']",
            "device.providers is [\"cpu\", \"cuda\"], but must be one or several of",
        ),
        ("providers = []", "with \"cpu\" last"),
        ("providers = ['cuda', 'cuda']", "each once"),
        ("providers = ['rocm']", "is \"rocm\", but must be \"tensorrt\" or \"cuda\" or \"cpu\""),
        ("policy = 'wanted'", "device.policy is \"wanted\", but must be \"preferred\" or \"required\""),
        ("devices = []", "device.devices is [], but must be at least one number of a GPU"),
        ("devices = [-1]", "a whole number that is not negative"),
        ("max_batch = 0", "device.max_batch is 0, but must be from 1 to 1024"),
        ("memory_limit_mb = 9999999", "device.memory_limit_mb is 9999999, but must be at most 1048576"),
    ] {
        let (message, _) = refused(&format!("[device]\n{option}"), &[]);
        assert!(message.contains("c.toml: device.") && message.contains(said), "{message}");
    }
    let (message, hint) = refused("", &[("DOCENT_DEVICE_DEVICES", "0,first")]);
    assert!(message.starts_with("variable DOCENT_DEVICE_DEVICES: device.devices"), "{message}");
    assert!(message.contains("is \"first\", but must be a whole number"), "{message}");
    assert!(hint.contains("explains"), "{hint}");
}

#[test]
fn misspelled_options_are_refused_in_files_and_reported_in_variables() {
    let (message, hint) = refused("[work]\nin_flght = 2", &[]);
    assert!(message.ends_with("there is no option 'work.in_flght'"), "{message}");
    assert!(hint.contains("in_flight"), "{hint}");
    // It was one once.
    let (message, _) = refused("[device]\ntuning_cache = '/a'", &[]);
    assert!(message.ends_with("there is no option 'device.tuning_cache'"), "{message}");
    let (message, _) = refused("colour = 2", &[]);
    assert!(message.ends_with("there is no option 'colour'"), "{message}");
    let config = load("", &[("DOCENT_WROK_IN_FLIGHT", "2"), ("DOCENT_CONFIG", "x")]).expect("loads");
    assert_eq!(config.sources.unknown_variables, ["DOCENT_WROK_IN_FLIGHT"]);
}

#[test]
fn broken_and_missing_files_are_named() {
    let (message, _) = refused("data_dir = '/a'\n[work\n", &[]);
    assert!(message.contains("c.toml: line 2"), "{message}");
    let overrides = Overrides { file: Some("/nowhere/c.toml".into()), ..Overrides::default() };
    let error = load_with(&overrides, &[]).expect_err("is refused");
    assert!(matches!(error, ConfigError::File { .. }));
}

#[test]
fn secrets_stay_secret_even_if_they_look_like_numbers() {
    let config = load("", &[("DOCENT_HTTP_TOKEN", "12345678901234567890")]).expect("loads");
    assert_eq!(config.http.token.reveal(), Some("12345678901234567890"));
    assert!(!format!("{config:?}").contains("12345678"));
}
