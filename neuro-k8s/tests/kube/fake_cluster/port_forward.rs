//! The API server's port-forward over a websocket: every message begins with the number of its channel. A port has two, one of data
//! and one of errors, and the server opens each with the port's number, least byte first.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

const PROTOCOL: &str = "v4.channel.k8s.io";
const DATA: u8 = 0;
const ERRORS: u8 = 1;

/// Switches the connection to a websocket that leads to `pod`, where something listens there.
pub fn respond(parts: Parts, port: u16, pod: Option<SocketAddr>) -> Response {
    let text = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let offered = text(header::SEC_WEBSOCKET_PROTOCOL).split(',').any(|protocol| protocol.trim() == PROTOCOL);
    if !text(header::UPGRADE).eq_ignore_ascii_case("websocket") || !offered {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let accept = derive_accept_key(text(header::SEC_WEBSOCKET_KEY).as_bytes());
    let upgrade = hyper::upgrade::on(Request::from_parts(parts, ()));
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        // Either side may be gone by now.
        let _ = relay(socket, port, pod).await;
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .body(Body::empty())
        .unwrap()
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn relay(
    socket: Socket,
    port: u16,
    pod: Option<SocketAddr>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let message = |channel: u8, bytes: &[u8]| Message::binary([&[channel], bytes].concat());
    let (mut to_client, mut from_client) = socket.split();
    for channel in [DATA, ERRORS] {
        to_client.send(message(channel, &port.to_le_bytes())).await?;
    }
    let Some(pod) = pod else {
        let words = format!("error forwarding port {port} to pod: connection refused");
        to_client.send(message(ERRORS, words.as_bytes())).await?;
        // The client closes.
        while from_client.next().await.is_some() {}
        return Ok(());
    };
    let (mut from_pod, mut to_pod) = TcpStream::connect(pod).await?.into_split();
    let forth = async {
        while let Some(Ok(received)) = from_client.next().await {
            match received {
                Message::Binary(bytes) if bytes.first() == Some(&DATA) => to_pod.write_all(&bytes[1..]).await?,
                Message::Close(_) => break,
                _ => {}
            }
        }
        Ok(())
    };
    let back = async {
        let mut bytes = [0; 4096];
        loop {
            match from_pod.read(&mut bytes).await? {
                0 => break,
                count => to_client.send(message(DATA, &bytes[..count])).await?,
            }
        }
        to_client.close().await?;
        Ok(())
    };
    tokio::select! { ended = forth => ended, ended = back => ended }
}
