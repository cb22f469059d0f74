"""Performs a Dockerfile's steps in chroots. Started by walk.sh, which has a mount namespace for it.

Knows what docker/Dockerfile uses: ARG, FROM, COPY (--from, --chmod, --chown by number), ENV, RUN in its shell form, USER by
number, WORKDIR; what only describes the image is kept and used in the look at the end.
"""

import argparse, ctypes, fnmatch, http.server, json, os, re, shlex, shutil, subprocess, sys, tempfile, threading

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
LIBC = ctypes.CDLL(None, use_errno=True)


def say(*words):
    print("walk:", *words, file=sys.stderr, flush=True)


def mount(source, target, kind="", flags=0, data=""):
    if LIBC.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}: {os.strerror(ctypes.get_errno())}")


def bind(source, target, read_only=False):
    mount(source, target, flags=MS_BIND)
    if read_only:
        mount(source, target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def instructions(path):
    """Pairs of keyword and the rest, with continued lines joined and comments dropped, inside of a step too."""
    joined = ""
    for line in open(path, encoding="utf-8"):
        if line.lstrip().startswith("#"):
            continue
        joined += line.rstrip("\n")
        if joined.endswith("\\"):
            joined = joined[:-1]
        elif joined.strip():
            keyword, _, rest = joined.strip().partition(" ")
            yield keyword.upper(), rest.strip()
            joined = ""
        else:
            joined = ""


def expand(text, values):
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda m: values.get(m[1] or m[2], ""), text)


class Context:
    """The files that a builder would get: all but those that the .dockerignore leaves out."""

    def __init__(self, folder, ignore):
        lines = [line.strip() for line in open(ignore, encoding="utf-8")]
        self.folder, self.rules = folder, [line for line in lines if line and not line.startswith("#")]

    def has(self, path):
        kept = True
        for rule in self.rules:
            pattern = rule.lstrip("!").strip("/")
            parts = path.split("/")
            if any(fnmatch.fnmatchcase("/".join(parts[:n]), pattern) for n in range(1, len(parts) + 1)):
                kept = rule.startswith("!")
        return kept

    def copy_to(self, target):
        count = size = 0
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if name not in (".git", "target", ".cache")]
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), self.folder)
                if self.has(path):
                    place = os.path.join(target, path)
                    os.makedirs(os.path.dirname(place), exist_ok=True)
                    shutil.copy2(os.path.join(folder, name), place)
                    count, size = count + 1, size + os.path.getsize(place)
        say(f"context: {count} files, {size / 1e6:.1f} MB")


class Stage:
    def __init__(self, root, options, with_rust):
        self.root, self.options = root, options
        self.env, self.workdir, self.user, self.about = {"PATH": PATH}, "/", (0, 0), {}
        for folder in ("proc", "dev", "run/walk"):
            os.makedirs(self.at(folder), exist_ok=True)
        mount("proc", self.at("proc"), "proc")
        mount("tmpfs", self.at("dev"), "tmpfs", data="mode=755")
        for device in ("null", "zero", "full", "random", "urandom"):
            open(self.at("dev", device), "w").close()
            bind(f"/dev/{device}", self.at("dev", device))
        os.symlink("/proc/self/fd", self.at("dev/fd"))
        # Of this machine, as an engine does it too.
        shutil.copy("/etc/resolv.conf", self.at("etc/resolv.conf"))
        if options.ca:
            # Where connections are inspected, tools need to know the certificate; nothing of it stays in the image.
            open(self.at("run/walk/ca.crt"), "w").close()
            bind(options.ca, self.at("run/walk/ca.crt"), read_only=True)
        if with_rust:
            # In place of the Rust image: this machine's toolchain.
            os.makedirs(self.at("usr/local/rust"))
            bind(options.rust, self.at("usr/local/rust"), read_only=True)
            self.env.update(PATH="/usr/local/rust/bin:" + PATH, CARGO_HOME="/usr/local/cargo")

    def at(self, *parts):
        return os.path.join(self.root, *(part.lstrip("/") for part in parts))

    def run(self, command, env=None, user=None, check=True, **more):
        values = {"HOME": "/root", **self.env, **(env or {})}
        if self.options.ca:
            values.update(dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO"), "/run/walk/ca.crt"))
        uid, gid = user or self.user

        def enter():
            os.chroot(self.root)
            os.chdir(self.workdir)
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)

        return subprocess.run(command, env=values, preexec_fn=enter, check=check, stdin=subprocess.DEVNULL, **more)

    def copy(self, words, context, stages):
        flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        base = stages[flags["from"]].root if "from" in flags else context
        into = os.path.join(self.workdir, target)
        several = target.endswith("/") or target in (".", "./") or len(sources) > 1
        for source in sources:
            start = os.path.join(base, source.lstrip("/"))
            if not os.path.exists(start):
                raise FileNotFoundError(f"COPY: {source} is not in the context or stage")
            place = self.at(into)
            if os.path.isdir(start):
                shutil.copytree(start, place, symlinks=True, dirs_exist_ok=True)
            else:
                place = os.path.join(place, os.path.basename(start)) if several or os.path.isdir(place) else place
                os.makedirs(os.path.dirname(place), exist_ok=True)
                shutil.copy2(start, place)
                os.chown(place, *map(int, flags.get("chown", "0:0").split(":")))
                if "chmod" in flags:
                    os.chmod(place, int(flags["chmod"], 8))

    def look(self, version):
        """The image as it would run: its user, a read-only root, /data and /tmp to write to."""
        mount(self.root, self.root, flags=MS_BIND)
        self.root = os.path.realpath(self.root)
        mount(self.root, self.root, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)
        for folder in ("data", "tmp"):
            mount("tmpfs", self.at(folder), "tmpfs", data="mode=1777")
        failed = []

        def expect(title, good, detail=""):
            say("  ok  " if good else "  FAIL", title, detail)
            if not good:
                failed.append(title)

        def shell(line):
            return self.run(["/bin/sh", "-c", line], check=False, capture_output=True, text=True)

        expect("is not root", self.user[0] != 0, f"(uid {self.user[0]})")
        expect("/ cannot be written", shell("touch /x /usr/x").returncode != 0)
        expect("/data and /tmp can", shell("touch /data/x /tmp/x").returncode == 0)
        program = shell(f"command -v {json.loads(self.about['ENTRYPOINT'])[0]}").stdout.strip()
        for file in (program, self.env["ORT_DYLIB_PATH"]):
            lines = shell(f"ldd {file}").stdout
            expect(f"{file} finds its libraries", "=>" in lines and "not found" not in lines)
        library = shell("ldconfig -p | grep -o '/.*libtesseract.so.5$'").stdout.strip()
        expect("Tesseract's library is there", bool(library), library)
        data = shell("ls /usr/share/tesseract-ocr/*/tessdata/eng.traineddata").stdout.strip()
        expect("English for Tesseract is there", bool(data), data)
        manifest = open(self.at(self.env["DOCENT_MODELS_DIR"], "manifest.toml"), encoding="utf-8").read()
        files = re.findall(r'path = "([^"]+)"', manifest)
        missing = [f for f in files if shell(f"test -r {self.env['DOCENT_MODELS_DIR']}/{f}").returncode != 0]
        expect(f"the manifest's {len(files)} files can be read", files and not missing, " ".join(missing))
        self.look_at_health(expect)
        answer = shell(f"{program} --version")
        expect("the program starts", answer.returncode == 0, answer.stdout.strip() or answer.stderr.strip()[-200:])
        if version:
            doctor = shell(f"{program} doctor")
            expect("`docent doctor` finds everything", doctor.returncode == 0, "\n" + doctor.stdout + doctor.stderr)
        return failed

    def look_at_health(self, expect):
        check = json.loads(self.about["HEALTHCHECK"][self.about["HEALTHCHECK"].index("CMD") + 3 :])
        probe = lambda *port: self.run([*check, *port], check=False, capture_output=True).returncode

        class Answer(http.server.BaseHTTPRequestHandler):
            status = 200

            def do_GET(self):
                self.send_response(self.status if self.path == "/healthz" else 404)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
        port = str(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        expect("the health check passes when /healthz says 200", probe(port) == 0)
        Answer.status = 503
        expect("and fails when it says 503", probe(port) != 0)
        server.shutdown()
        server.server_close()
        expect("and when nobody answers", probe(port) != 0)


def walk(options, work):
    base = os.path.join(work, "base")
    packages = "--include=ca-certificates"
    say(f"debootstrap {options.suite}")
    subprocess.run(
        ["debootstrap", "--variant=minbase", packages, options.suite, base, *options.mirror],
        check=True, stdout=open(os.path.join(work, "debootstrap.log"), "w"),
    )  # fmt: skip
    with open(os.path.join(base, "etc/apt/sources.list"), "r+") as file:
        mirror = file.read().split()[1].rstrip("/")
        security = mirror.rsplit("/", 1)[0] + "/debian-security"
        file.write(f"deb {mirror} {options.suite}-updates main\n")
        file.write(f"deb {security} {options.suite}-security main\n")
    # No service is started by installing its package; the images have the same.
    with open(os.path.join(base, "usr/sbin/policy-rc.d"), "w") as file:
        file.write("#!/bin/sh\nexit 101\n")
    os.chmod(file.name, 0o755)

    context = os.path.join(work, "context")
    Context(os.getcwd(), options.dockerfile + ".dockerignore").copy_to(context)
    arguments, stages, stage, name = {}, {}, None, None
    for keyword, rest in instructions(options.dockerfile):
        if keyword == "FROM":
            image, _, name = re.fullmatch(r"(\S+)(\s+AS\s+(\S+))?", expand(rest, arguments), re.IGNORECASE).groups()
            if not re.fullmatch(r"(debian|rust):.*" + options.suite + ".*", image):
                raise SystemExit(f"walk: {image} cannot be made by debootstrap")
            name = name or "final"
            say(f"=== {name}, in place of {image}")
            root = os.path.join(work, name)
            subprocess.run(["cp", "-a", base, root], check=True)
            stage = stages[name] = Stage(root, options, image.startswith("rust:"))
            continue
        say(keyword, rest if len(rest) < 100 else rest[:97] + "...")
        if keyword == "ARG":
            key, _, value = rest.partition("=")
            arguments.setdefault(key, value)
        elif keyword == "ENV":
            stage.env.update(pair.split("=", 1) for pair in shlex.split(expand(rest, {**arguments, **stage.env})))
        elif keyword == "WORKDIR":
            stage.workdir = os.path.join(stage.workdir, rest)
            os.makedirs(stage.at(stage.workdir), exist_ok=True)
        elif keyword == "USER":
            stage.user = tuple(map(int, rest.split(":")))
        elif keyword == "COPY":
            stage.copy(shlex.split(expand(rest, {**arguments, **stage.env})), context, stages)
        elif keyword == "RUN" and options.skip_build_with and re.search(r"\bcargo (build|clean)\b", rest):
            say("  skipped")
            place = stage.at(stage.workdir, "target/release/docent")
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy(options.skip_build_with, place)
        elif keyword == "RUN":
            with open(os.path.join(work, f"{name}.log"), "ab") as log:
                try:
                    stage.run(["/bin/sh", "-c", rest], stdout=log, stderr=subprocess.STDOUT)
                except subprocess.CalledProcessError:
                    log.flush()
                    say("this step failed; the end of its words:")
                    print(*open(log.name, errors="replace").read().splitlines()[-30:], sep="\n", file=sys.stderr)
                    raise SystemExit(1)
        elif keyword in ("LABEL", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"):
            stage.about[keyword] = rest
        else:
            raise SystemExit(f"walk: {keyword} is not known here")
    size = lambda root: int(subprocess.check_output(["du", "-sxk", root]).split()[0]) / 1024
    say(f"the final stage has {size(stage.root):.0f} MiB, {size(stage.root) - size(base):.0f} MiB more than its base")
    say("=== a look at the result")
    failed = stage.look(version=options.doctor)
    if failed:
        raise SystemExit("walk: failed: " + "; ".join(failed))
    say("everything went well")


def main():
    parser = argparse.ArgumentParser(prog="docker/walk.sh", description="Performs docker/Dockerfile's steps in chroots.")
    add = parser.add_argument
    add("--skip-build-with", metavar="BINARY", help="use this program and leave out the steps with cargo")
    add("--doctor", action="store_true", help="end with `docent doctor` inside; needs a real program")
    add("--dockerfile", default="docker/Dockerfile")
    add("--suite", default="bookworm")
    add("--mirror", nargs=1, default=[], help="of Debian (default: debootstrap's own)")
    add("--rust", metavar="FOLDER", help="the Rust toolchain in place of the image's (default: rustc --print sysroot)")
    add("--ca", metavar="FILE", help="certificates that the steps' tools should trust, where a network needs its own")
    add("--work", metavar="FOLDER", help="where the trees are made, some 4 GB (default: a temporary folder)")
    add("--keep", action="store_true", help="leave the trees there")
    options = parser.parse_args()
    options.rust = options.rust or subprocess.check_output(["rustc", "--print", "sysroot"], text=True).strip()
    work = tempfile.mkdtemp(prefix="docent-walk-", dir=options.work)
    try:
        walk(options, work)
    finally:
        # Deepest first. They would go with the namespace, but then the trees could not be removed here.
        points = [line.split()[1] for line in open("/proc/self/mounts")]
        for point in reversed([point for point in points if point.startswith(work + "/")]):
            subprocess.run(["umount", "--lazy", point], check=False)
        if options.keep:
            say("kept:", work)
        else:
            shutil.rmtree(work)


main()
