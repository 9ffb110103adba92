// Server-sent events over fetch, because an EventSource can neither carry the API key nor be told to try again.
const BACKOFF_MS = [500, 1000, 2000, 4000, 8000];
const SILENCE_MS = 45_000;

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

function eventOf(block) {
  const event = { name: "message", data: "", id: "" };
  const data = [];
  for (const line of block.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(":");
    if (colon === 0 || line === "") continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event.name = value;
    if (field === "id") event.id = value;
    if (field === "data") data.push(value);
  }
  event.data = data.join("\n");
  return event;
}

async function read(response, onEvent, onBytes) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onBytes();
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = eventOf(block);
      if (event.data) onEvent(event);
    }
  }
}

// Reads until `signal` aborts. Comes back after every break, naming the last alert it saw.
export async function listen(url, { headers, signal, onEvent, onState }) {
  let lastId = "";
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    const quiet = new AbortController();
    const stop = () => quiet.abort();
    signal.addEventListener("abort", stop, { once: true });
    let watchdog = setTimeout(stop, SILENCE_MS);
    try {
      const asked = { Accept: "text/event-stream", ...headers(), ...(lastId && { "Last-Event-ID": lastId }) };
      const response = await fetch(url, { headers: asked, signal: quiet.signal, cache: "no-store" });
      if (response.ok) {
        onState("live");
        attempt = -1;
        await read(response, (event) => { lastId = event.id || lastId; onEvent(event); }, () => {
          clearTimeout(watchdog);
          watchdog = setTimeout(stop, SILENCE_MS);
        });
      } else if (response.status === 401) {
        onState("locked");
        return;
      }
    } catch (error) {
      if (!(error instanceof TypeError) && error.name !== "AbortError") throw error;
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", stop);
    }
    if (signal.aborted) return;
    onState("lost");
    await pause(BACKOFF_MS[Math.min(attempt + 1, BACKOFF_MS.length - 1)] * (0.8 + 0.4 * Math.random()), signal);
  }
}
