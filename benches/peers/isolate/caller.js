// Calls the other isolate as often as it is asked to, and says whether everything came back.
export default {
  async fetch(request, env) {
    const query = new URL(request.url).searchParams;
    const sent = Uint8Array.from({ length: Number(query.get("bytes")) }, (_, at) => at % 251);
    let came = sent;
    for (let turn = 0; turn < Number(query.get("times")); turn++) {
      came = await env.callee.echo(sent);
    }
    const faithful = came.length === sent.length && came.every((byte, at) => byte === sent[at]);
    return new Response(faithful ? "faithful" : "changed");
  },
};
