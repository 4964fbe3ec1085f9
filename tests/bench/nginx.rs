//! The peer of the library's benchmark: Debian's nginx as a caching proxy, set up for this very work.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use harness::{
    ports,
    proc::{Owned, cpu_time, descendants},
    school::School,
    wait::wait_for,
};

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    process: Owned,
    folder: PathBuf,
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
}

impl Nginx {
    /// Starts it before an origin on `origin` of this machine. One fill at a time and a lock that outlasts it, open files
    /// kept, as many workers as there are cores. With a certificate it speaks TLS.
    pub(crate) async fn start(origin: u16, tls: Option<&School>) -> Result<Self> {
        let port = ports::free()?;
        let folder = std::env::temp_dir().join(format!("classroom-bench-nginx-{}-{port}", std::process::id()));
        fs::create_dir_all(folder.join("cache"))?;
        let at = folder.display();
        let (listen, certificate) = match tls.map(School::certificate) {
            Some((certificate, key)) => {
                fs::write(folder.join("nginx.pem"), certificate)?;
                fs::write(folder.join("nginx.key"), key)?;
                (
                    " ssl",
                    format!(
                        "ssl_protocols TLSv1.3; ssl_certificate {at}/nginx.pem; ssl_certificate_key {at}/nginx.key;"
                    ),
                )
            }
            None => ("", String::new()),
        };
        let config = format!(
            "daemon off; worker_processes auto; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n access_log off; sendfile on; tcp_nopush on; open_file_cache max=1000 inactive=60s;\n\
             client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u;\n\
             scgi_temp_path {at}/s;\n\
             proxy_cache_path {at}/cache levels=1:2 keys_zone=c:10m max_size=2g inactive=1h use_temp_path=off;\n\
             server {{ listen 127.0.0.1:{port}{listen}; {certificate} location / {{ proxy_pass http://127.0.0.1:{origin}; proxy_cache c;\n\
             proxy_cache_valid 200 1h; proxy_cache_lock on; proxy_cache_lock_timeout 1h; proxy_cache_lock_age 1h;\n\
             proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n"
        );
        fs::write(folder.join("nginx.conf"), config)?;
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| fs::metadata(path).is_ok());
        let program = program.context("nginx is not installed: apt install nginx-light")?;
        let process = Owned::spawn(program, |command| {
            command.arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg(&folder);
            command.stdout(Stdio::null()).stderr(Stdio::null());
        })?;
        let nginx = Self { process, folder, port };
        wait_for("nginx to listen", Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop)
        })
        .await?;
        Ok(nginx)
    }

    /// CPU time of all of its processes.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let workers = descendants(self.process.pid());
        ensure!(!workers.is_empty(), "nginx has no workers");
        workers.into_iter().chain([self.process.pid()]).map(cpu_time).sum()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.terminate(Duration::from_secs(3));
        let _ = fs::remove_dir_all(&self.folder);
    }
}
