//! The units of `systemd/`, of the image and of the take-home device, judged by systemd itself: each is valid, and each is shut in.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use super::{none, tree};

/// The highest exposure (`systemd-analyze security`, 0 to 10) a service may have; those that touch devices have more.
const EXPOSED: f64 = 2.5;
const EXPOSED_WITH_DEVICES: f64 = 5.0;
const WITH_DEVICES: &[&str] = &["classroom-display.service", "classroom-studio.service"];

fn is_ours(path: &str) -> bool {
    path.starts_with("systemd/") || path == "classroom-agent/classroom-agent.service"
}

/// Units that only the flashed image has. Its systemd is newer than what a developer's Debian must have, so only how shut in
/// they are is looked at.
fn of_the_image() -> Vec<tree::File> {
    let mut units = tree::files();
    units.retain(|file| file.path.starts_with("image/") && file.path.ends_with(".service"));
    assert!(!units.is_empty(), "the image has units of its own");
    units
}

fn units(end: &str) -> Vec<tree::File> {
    let mut units = tree::files();
    units.retain(|file| is_ours(&file.path) && file.path.ends_with(end));
    assert!(!units.is_empty(), "there are {end} units in systemd/");
    units
}

fn name(file: &tree::File) -> &str {
    file.path.rsplit('/').next().unwrap_or_default()
}

/// What a program of systemd says, all of it; `systemd` is on the list of `tests/packages.sh`.
fn said(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run tests/packages.sh test"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}

/// A root folder with this machine's own units, ours, and an empty program wherever one of ours starts one.
struct Root(PathBuf);

impl Root {
    fn new(what: &str) -> Self {
        let root = Self(std::env::temp_dir().join(format!("classroom-units-{what}-{}", std::process::id())));
        let system = root.0.join("usr/lib/systemd/system");
        fs::create_dir_all(&system).unwrap();
        fs::create_dir_all(root.0.join("etc")).unwrap();
        symlink("usr/lib", root.0.join("lib")).unwrap();
        let (copied, complaint) = said("cp", &["-a", "/usr/lib/systemd/system/.", system.to_str().unwrap()]);
        assert!(copied, "{complaint}");
        for unit in units(".service").into_iter().chain(units(".socket")).chain(units(".timer")) {
            fs::write(system.join(name(&unit)), &unit.text).unwrap();
            for program in unit.text.lines().filter_map(|line| line.strip_prefix("ExecStart=")?.split(' ').next()) {
                root.program(Path::new(program));
            }
        }
        root
    }

    fn program(&self, path: &Path) {
        let path = self.0.join(path.strip_prefix("/").expect("units name programs by their whole path"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn verify(&self, unit: &str) -> String {
        let root = format!("--root={}", self.0.display());
        said("systemd-analyze", &["verify", "--man=no", "--recursive-errors=one", &root, unit]).1
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn systemd_finds_nothing_to_say_about_a_unit() {
    let root = Root::new("verify");
    none(
        "`systemd-analyze verify` must be silent (it ends well also with keys that it does not know)",
        units(".service").iter().chain(&units(".socket")).chain(&units(".timer")).filter_map(|unit| {
            let complaint = root.verify(name(unit));
            (!complaint.is_empty()).then(|| format!("{}: {complaint}", unit.path))
        }),
    );
}

#[test]
fn a_wrong_unit_is_found() {
    let root = Root::new("wrong");
    let at = root.0.join("usr/lib/systemd/system/classroom-hub.service");
    let right = fs::read_to_string(&at).unwrap();
    fs::write(&at, right.replace("ProtectSystem=", "ProtectSistem=")).unwrap();
    assert!(root.verify("classroom-hub.service").contains("ProtectSistem"));
    fs::write(&at, right.replace("/usr/bin/appliance", "/usr/bin/appliances")).unwrap();
    assert!(root.verify("classroom-hub.service").contains("not executable"));
}

#[test]
fn services_are_shut_in() {
    none(
        "a service is more exposed than it may be: `systemd-analyze security --offline=true systemd/NAME` says why",
        units(".service").iter().chain(&of_the_image()).filter_map(|unit| {
            let limit = if WITH_DEVICES.contains(&name(unit)) { EXPOSED_WITH_DEVICES } else { EXPOSED };
            let path = tree::root().join(&unit.path);
            let (_, text) = said("systemd-analyze", &["security", "--no-pager", "--offline=true", path.to_str()?]);
            let level = text.lines().find_map(|line| line.split_once("exposure level for ")?.1.split_once(": "));
            let level = level.and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
            let level = level.unwrap_or_else(|| panic!("{}: no level in {text}", unit.path));
            (level > limit).then(|| format!("{}: {level}, more than {limit}", unit.path))
        }),
    );
}

#[test]
fn users_and_folders_are_made_without_a_complaint() {
    let root = Root::new("users");
    let option = format!("--root={}", root.0.display());
    let of = |path: &str| tree::root().join(path).to_str().unwrap().to_owned();
    let (well, text) = said("systemd-sysusers", &["--dry-run", &option, &of("systemd/classroom.sysusers")]);
    assert!(well, "{text}");
    let users = tree::read("systemd/classroom.sysusers").unwrap();
    none(
        "a unit runs as a user that systemd/classroom.sysusers does not make",
        units(".service").iter().flat_map(|unit| {
            let named = unit.text.lines().filter_map(|line| line.strip_prefix("User=")).map(str::to_owned);
            let missing = named.filter(|user| !users.lines().any(|line| line.split_whitespace().nth(1) == Some(user)));
            missing.map(|user| format!("{}: {user}", unit.path)).collect::<Vec<_>>()
        }),
    );
}

#[test]
fn each_socket_belongs_to_a_service_that_takes_it() {
    let services = units(".service");
    none(
        "a socket names its service and the service names the socket (Sockets=)",
        units(".socket").iter().filter_map(|socket| {
            let service = socket.text.lines().find_map(|line| line.strip_prefix("Service="))?;
            let unit = services.iter().find(|unit| name(unit) == service);
            let takes = unit.is_some_and(|unit| {
                unit.text
                    .lines()
                    .filter_map(|line| line.strip_prefix("Sockets="))
                    .any(|line| line.split(' ').any(|taken| taken == name(socket)))
            });
            (!takes).then(|| format!("{}: {service}", socket.path))
        }),
    );
}

#[test]
fn each_file_of_systemd_is_in_a_package() {
    let lists: Vec<_> = tree::files().into_iter().filter(|file| file.path.ends_with("/install")).collect();
    assert!(!lists.is_empty(), "image/deb/*/install");
    none(
        "a unit or a file of systemd/ lies in no package: add it to image/deb/NAME/install",
        tree::files()
            .into_iter()
            .filter(|file| is_ours(&file.path) && !file.path.ends_with(".md"))
            .filter(|file| {
                lists.iter().all(|list| !list.text.lines().any(|line| line.starts_with(&format!("{} ", file.path))))
            })
            .map(|file| file.path),
    );
    none(
        "a package names a file that is not there",
        lists.iter().flat_map(|list| {
            let from =
                list.text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next());
            let missing = from.filter(|from| !from.starts_with("@BIN@/") && tree::read(from).is_none());
            missing.map(|from| format!("{}: {from}", list.path)).collect::<Vec<_>>()
        }),
    );
}

#[test]
fn a_package_brings_the_programs_that_its_units_start() {
    let packages = tree::files();
    let installs = |package: &str, what: &str| {
        let list = tree::read(&format!("image/deb/{package}/install")).unwrap_or_default();
        list.lines().any(|line| line.split_whitespace().nth(1) == Some(what))
    };
    let names: Vec<&str> =
        packages.iter().filter_map(|file| file.path.strip_prefix("image/deb/")?.strip_suffix("/install")).collect();
    assert!(!names.is_empty(), "image/deb/*/install");
    none(
        "a unit starts a program that its package neither brings nor names (Depends, Recommends)",
        units(".service").iter().flat_map(|unit| {
            let package = names
                .iter()
                .find(|package| installs(package, &format!("usr/lib/systemd/system/{}", name(unit))))
                .unwrap_or_else(|| panic!("{} lies in no package", unit.path));
            let control = tree::read(&format!("image/deb/{package}/control")).unwrap_or_default();
            let from_debian = [("/usr/bin/ssh", "openssh-client")];
            let starts = unit.text.lines().filter_map(|line| line.strip_prefix("ExecStart=")?.split(' ').next());
            let missing = starts.filter(|program| {
                let named = from_debian.iter().any(|(at, of)| at == program && control.contains(of));
                !named && !installs(package, program.trim_start_matches('/'))
            });
            missing.map(|program| format!("{}: {program} ({package})", unit.path)).collect::<Vec<_>>()
        }),
    );
}
