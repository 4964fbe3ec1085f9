//! A gateway's last step without the rest of it: what comes to its port goes on to the box's door for homes, each connection
//! behind the header that HAProxy writes (`send-proxy-v2`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{people::Caller, school::School};

/// One home's way to the box. Ends when dropped.
#[derive(Debug)]
pub struct Gateway {
    port: u16,
    task: JoinHandle<()>,
}

impl Gateway {
    /// The way of the home at this address in the world to the box's door.
    pub async fn of(home: Ipv4Addr, door: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((near, from)) = listener.accept().await {
                tokio::spawn(pass_on(near, SocketAddr::new(home.into(), from.port()), door));
            }
        });
        Ok(Self { port, task })
    }

    /// Nobody yet, in this home.
    pub fn anyone(&self, school: &School) -> Result<Caller> {
        Caller::new(&format!("https://127.0.0.1:{}", self.port), Some(school))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut near: TcpStream, from: SocketAddr, door: SocketAddr) -> Result<()> {
    let mut far = TcpStream::connect(door).await?;
    far.write_all(&header(from, door)?).await?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}

/// The PROXY protocol's header, version 2, of a TCP connection over IPv4.
pub fn header(from: SocketAddr, to: SocketAddr) -> Result<Vec<u8>> {
    let v4 = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => Ok(v4.octets()),
        IpAddr::V6(_) => Err(anyhow::anyhow!("{address}")),
    };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(v4(from).context("the home's address")?);
    header.extend(v4(to).context("the door's address")?);
    header.extend(from.port().to_be_bytes());
    header.extend(to.port().to_be_bytes());
    Ok(header)
}
