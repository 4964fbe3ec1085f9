//! The box itself: the flashable image in a PC made of software (QEMU under TCG, OVMF), with its screen and its console.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    netns::Ns,
    proc::Owned,
    stamp::{Area, Frame, Stamp},
    wait::wait_for_blocking,
};

/// The firmware and its settings (package `ovmf`).
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const SETTINGS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// The screen's pixels.
pub const SCREEN: (u32, u32) = (1280, 720);
/// The machine's address behind QEMU's user-mode network.
pub const GUEST: &str = "10.0.2.15";
/// A sector of the disk, in bytes.
const SECTOR: u64 = 512;
/// Longest wait for an answer of the shell inside: everything in there is ten to thirty times slower.
const ANSWER: Duration = Duration::from_secs(120);
/// Longest wait for QEMU's own answers.
const MONITOR: Duration = Duration::from_secs(20);

/// A copy of the image that a test may write to. Gone when dropped.
#[derive(Debug)]
pub struct Disk {
    file: PathBuf,
}

/// A partition: its name and where it lies, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// PARTLABEL.
    pub name: String,
    /// First byte.
    pub start: u64,
    /// Length.
    pub bytes: u64,
}

impl Disk {
    /// Copies `image` to `file` and makes it `bytes` large, as a disk that the image was flashed to.
    pub fn copy(image: &Path, file: &Path, bytes: u64) -> Result<Self> {
        run(Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(image).arg(file))
            .with_context(|| format!("{} is made by `make image`", image.display()))?;
        let disk = Self { file: file.into() };
        fs::OpenOptions::new().write(true).open(file)?.set_len(bytes)?;
        Ok(disk)
    }

    /// The partitions (UEFI specification, GUID Partition Table).
    pub fn partitions(&self) -> Result<Vec<Partition>> {
        let mut disk = fs::File::open(&self.file)?;
        let mut read = |at: u64, length: usize| -> Result<Vec<u8>> {
            let mut bytes = vec![0; length];
            disk.seek(SeekFrom::Start(at))?;
            disk.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let number = |bytes: &[u8], at: usize, length: usize| {
            bytes[at..at + length].iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte))
        };
        let header = read(SECTOR, 92)?;
        ensure!(header.starts_with(b"EFI PART"), "no partition table");
        let (at, count, size) = (number(&header, 72, 8), number(&header, 80, 4), number(&header, 84, 4));
        let table = read(at * SECTOR, usize::try_from(count * size)?)?;
        let entries = table.chunks(usize::try_from(size)?).filter(|entry| entry[..16] != [0; 16]);
        Ok(entries
            .map(|entry| {
                let (first, last) = (number(entry, 32, 8), number(entry, 40, 8));
                let letters = entry[56..128].chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
                let letters: Vec<u16> = letters.take_while(|letter| *letter != 0).collect();
                Partition {
                    name: String::from_utf16_lossy(&letters),
                    start: first * SECTOR,
                    bytes: (last - first + 1) * SECTOR,
                }
            })
            .collect())
    }

    fn fat(&self, partition: &str) -> Result<String> {
        let partitions = self.partitions()?;
        let found = partitions.iter().find(|found| found.name == partition);
        let found = found.with_context(|| format!("no partition {partition} among {partitions:?}"))?;
        Ok(format!("{}@@{}", self.file.display(), found.start))
    }

    /// Writes a file onto a FAT partition (package `mtools`), as a person does at another computer.
    pub fn put(&self, partition: &str, path: &str, text: &str) -> Result<()> {
        let from = self.file.with_extension("put");
        fs::write(&from, text)?;
        let done =
            run(Command::new("mcopy").args(["-o", "-i", &self.fat(partition)?]).arg(&from).arg(format!("::{path}")));
        fs::remove_file(&from)?;
        done.map(drop)
    }

    /// Reads a file of a FAT partition.
    pub fn get(&self, partition: &str, path: &str) -> Result<String> {
        run(Command::new("mtype").args(["-i", &self.fat(partition)?, &format!("::{path}")]))
    }

    /// Has the system start as a test needs it: what it says comes on the serial line, a shell on the second one, and the
    /// kernel does not look at timers that a loaded TCG keeps badly.
    pub fn start_for_tests(&self) -> Result<()> {
        let path = "/EFI/debian/grub.cfg";
        let menu = self.get("esp", path)?;
        let ours = "no_timer_check console=tty0 console=ttyS0,115200 systemd.debug-shell=ttyS1 systemd.show_status=no";
        let line = menu.lines().find(|line| line.starts_with("linux ")).context("the menu starts a kernel")?;
        let words = line.split(' ').filter(|word| !word.starts_with("console=")).collect::<Vec<_>>().join(" ");
        self.put("esp", path, &menu.replace(line, &format!("{words} {ours}")))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// A running PC. Ends when dropped.
#[derive(Debug)]
pub struct Vm {
    process: Owned,
    home: PathBuf,
    began: Instant,
}

impl Vm {
    /// Starts a PC with this disk. With `ns` it stands on that machine, whose ports 80, 443 and 8801 (UDP, TCP) lead in.
    pub fn start(disk: &Disk, home: &Path, ns: Option<&Ns>) -> Result<Self> {
        fs::create_dir_all(home)?;
        fs::copy(SETTINGS, home.join("settings.fd")).context("the package ovmf")?;
        let doors = ["tcp::80-:80", "tcp::443-:443", "tcp::8801-:8801", "udp::8801-:8801"];
        let doors: String = doors.iter().map(|door| format!(",hostfwd={door}")).collect();
        let at = |name: &str| home.join(name).display().to_string();
        let arguments = [
            "-nodefaults".into(),
            "-no-user-config".into(),
            "-machine".into(),
            "q35".into(),
            // KVM of a machine that is itself a guest is not to be trusted, and not everywhere.
            "-accel".into(),
            "tcg,thread=multi".into(),
            "-cpu".into(),
            "Westmere".into(),
            "-smp".into(),
            "2".into(),
            "-m".into(),
            "2048".into(),
            "-drive".into(),
            format!("if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}"),
            "-drive".into(),
            format!("if=pflash,unit=1,format=raw,file={}", at("settings.fd")),
            "-drive".into(),
            format!("if=virtio,format=raw,cache=unsafe,file={}", disk.file.display()),
            "-device".into(),
            format!("VGA,edid=on,xres={},yres={}", SCREEN.0, SCREEN.1),
            "-display".into(),
            "none".into(),
            "-serial".into(),
            format!("file:{}", at("serial.log")),
            "-serial".into(),
            format!("unix:{},server=on,wait=off", at("shell")),
            "-qmp".into(),
            format!("unix:{},server=on,wait=off", at("monitor")),
            "-nic".into(),
            format!("user,model=virtio-net-pci{}", if ns.is_some() { doors } else { String::new() }),
            "-device".into(),
            "virtio-rng-pci".into(),
        ];
        let began = Instant::now();
        let log = fs::File::create(home.join("qemu.log"))?;
        let outer = if ns.is_some() { "ip" } else { "qemu-system-x86_64" };
        let process = Owned::spawn(outer, |command| {
            if let Some(ns) = ns {
                command.args(["netns", "exec", ns.name(), "qemu-system-x86_64"]);
            }
            command.args(&arguments).stdout(Stdio::null()).stderr(log);
        })?;
        Ok(Self { process, home: home.into(), began })
    }

    /// Everything that came on the serial line.
    pub fn serial(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.home.join("serial.log")).unwrap_or_default()).into_owned()
    }

    /// Waits until the serial line has said `text` and gives the time since the machine was switched on.
    pub fn says(&mut self, text: &str, within: Duration) -> Result<Duration> {
        let (began, home) = (self.began, self.home.clone());
        let process = &mut self.process;
        let said = wait_for_blocking(&format!("{text:?} on the serial line"), within, || {
            let said = fs::read(home.join("serial.log")).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            if said.contains(text) {
                return Ok(Ok(began.elapsed()));
            }
            if !process.running() {
                return Ok(Err(fs::read_to_string(home.join("qemu.log")).unwrap_or_default()));
            }
            Err(said.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"))
        })?;
        said.map_err(|log| anyhow::anyhow!("the machine ended: {log}"))
    }

    /// Runs a command in the shell of the second serial line and gives what it prints.
    pub fn shell(&self, command: &str) -> Result<String> {
        let mut line = UnixStream::connect(self.home.join("shell")).context("the machine's second serial line")?;
        line.set_read_timeout(Some(ANSWER))?;
        // The mark is put together by the shell, so that its echo is not taken for the answer.
        writeln!(
            line,
            "stty -echo; export SYSTEMD_COLORS=0; \
             printf '\\n%s%s\\n' BEGIN -ANSWER; {{ {command}; }} 2>&1; printf '%s%s\\n' END -ANSWER"
        )?;
        let mut said = Vec::new();
        let until = Instant::now() + ANSWER;
        let mut reader = BufReader::new(line);
        while Instant::now() < until {
            let read = reader.read_until(b'\n', &mut said).with_context(|| format!("no answer to {command}"))?;
            ensure!(read > 0, "the machine has closed its serial line");
            let text = String::from_utf8_lossy(&said).replace('\r', "");
            if let Some((_, rest)) = text.split_once("BEGIN-ANSWER\n")
                && let Some((answer, _)) = rest.split_once("END-ANSWER")
            {
                return Ok(answer.trim().to_owned());
            }
        }
        bail!("no answer to {command:?}: {}", String::from_utf8_lossy(&said))
    }

    fn monitor(&self, command: &serde_json::Value) -> Result<()> {
        let socket = UnixStream::connect(self.home.join("monitor")).context("QEMU's monitor")?;
        socket.set_read_timeout(Some(MONITOR))?;
        let mut lines = BufReader::new(socket.try_clone()?).lines();
        let mut next = || -> Result<serde_json::Value> {
            Ok(serde_json::from_str(&lines.next().context("the monitor hung up")??)?)
        };
        next()?;
        for command in [&serde_json::json!({ "execute": "qmp_capabilities" }), command] {
            (&socket).write_all(format!("{command}\n").as_bytes())?;
            loop {
                let answer = next()?;
                if let Some(error) = answer.get("error") {
                    bail!("{command}: {error}");
                }
                if answer.get("return").is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Keeps what the screen shows as a PNG; makes the folder.
    pub fn screenshot(&self, path: &Path) -> Result<()> {
        let path = std::path::absolute(path)?;
        fs::create_dir_all(path.parent().context("a folder")?)?;
        self.monitor(&serde_json::json!({
            "execute": "screendump", "arguments": { "filename": path, "format": "png" },
        }))
    }

    /// What the screen shows now.
    pub fn screen(&self) -> Result<Shown> {
        let path = self.home.join("screen.ppm");
        self.monitor(&serde_json::json!({ "execute": "screendump", "arguments": { "filename": path } }))?;
        let mut bytes = fs::read(&path)?;
        // P6, width and height, 255, then three bytes a pixel.
        let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let pixels = ends.nth(2).context("a picture")?;
        let header = String::from_utf8_lossy(&bytes[..pixels]).into_owned();
        let width = header.split_whitespace().nth(1).context("a width")?.parse()?;
        Ok(Shown { width, pixels: bytes.split_off(pixels) })
    }

    /// The stamp of the picture at `area` of the screen, if there is one.
    pub fn stamp(&self, area: Area) -> Result<Option<Stamp>> {
        let shown = self.screen()?;
        let frame = Frame { data: &shown.pixels, stride: shown.width * 3, step: 3, byte: 1 };
        Ok(Stamp::read(&frame, area))
    }

    /// Switches the machine off as its button does, and waits until it is.
    pub fn power_off(mut self, within: Duration) -> Result<()> {
        self.monitor(&serde_json::json!({ "execute": "system_powerdown" }))?;
        let process = &mut self.process;
        wait_for_blocking("the machine to switch itself off", within, || {
            if process.running() { Err("it runs") } else { Ok(()) }
        })
    }
}

/// A picture of the screen.
#[derive(Debug)]
pub struct Shown {
    width: usize,
    pixels: Vec<u8>,
}

impl Shown {
    /// Whether something is written in this colour (the way to the screen shifts it a little): as much as a few letters.
    pub fn has_ink(&self, ink: [u8; 3]) -> bool {
        let is_ink = |pixel: &&[u8]| pixel.iter().zip(ink).all(|(seen, ink)| seen.abs_diff(ink) <= 16);
        self.pixels.chunks_exact(3).filter(is_ink).count() > 200
    }

    /// Whether the picture is drawn down to its last line: what comes slowly comes from above, over black.
    pub fn is_whole(&self) -> bool {
        let last = self.pixels.len() - self.width * 3;
        self.pixels[last..].iter().any(|byte| *byte != 0)
    }

    /// Whether a QR code stands there: a line that crosses two of its corners, each dark and light as 1:1:3:1:1.
    pub fn has_qr(&self) -> bool {
        self.pixels.chunks_exact(self.width * 3).any(|line| {
            let mut runs: Vec<(bool, usize)> = Vec::new();
            for pixel in line.chunks_exact(3) {
                let dark = pixel[1] < 128;
                match runs.last_mut() {
                    Some((before, length)) if *before == dark => *length += 1,
                    _ => runs.push((dark, 1)),
                }
            }
            let corner = |runs: &[(bool, usize)]| {
                let unit = runs[0].1;
                runs[0].0 && unit > 1 && runs.iter().zip([1, 1, 3, 1, 1]).all(|((_, n), of)| n.abs_diff(of * unit) <= 1)
            };
            runs.windows(5).filter(|runs| corner(runs)).count() >= 2
        })
    }
}

fn run(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
