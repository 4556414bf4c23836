// Calls the other isolate as often as it is asked to; with `check` it says whether everything came back.
const made = new Map();

export default {
  async fetch(request, env) {
    const query = new URL(request.url).searchParams;
    const sent = payload(Number(query.get("bytes")));
    let came = sent;
    for (let turn = 0; turn < Number(query.get("times")); turn++) {
      came = await env.callee.echo(sent);
    }
    return new Response(!query.has("check") || isSame(came, sent) ? "faithful" : "changed");
  },
};

// Made once per size: making it takes longer than sending it.
function payload(bytes) {
  if (!made.has(bytes)) {
    made.set(bytes, Uint8Array.from({ length: bytes }, (_, at) => at % 251));
  }
  return made.get(bytes);
}

function isSame(came, sent) {
  return came.length === sent.length && came.every((byte, at) => byte === sent[at]);
}
