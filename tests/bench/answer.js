// Answers the panel's offer from this page, with the same wishes as the box's own page has for its highest layer.
const [offer] = arguments;
const stream = window.benchStream ??= await navigator.mediaDevices.getDisplayMedia({
  video: { width: { max: 1280 }, height: { max: 720 }, frameRate: { ideal: 30, max: 30 } },
});
window.benchConnection?.close();
const connection = window.benchConnection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
const [track] = stream.getVideoTracks();
track.contentHint = 'detail';
// The browser's estimate starts where the box's page starts it.
const sdp = offer.replace(/^(a=fmtp:.*profile-level-id=.*?)(\r?)$/gm, '$1;x-google-start-bitrate=2000$2');
await connection.setRemoteDescription({ type: 'offer', sdp });
const sender = connection.addTrack(track, stream);
await connection.setLocalDescription();
const parameters = sender.getParameters();
for (const encoding of parameters.encodings) encoding.maxBitrate = 2_500_000;
parameters.degradationPreference = 'maintain-resolution';
await sender.setParameters(parameters);
while (connection.iceGatheringState !== 'complete') {
  await new Promise(done => connection.addEventListener('icegatheringstatechange', done, { once: true }));
}
return connection.localDescription.sdp;
