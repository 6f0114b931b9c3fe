// What the server is asked. The key came in the part of the address that browsers send to nobody; other pages, even of
// this machine's other servers, cannot read where it is kept.
const KEPT = "rali-review-key";
if (location.hash.length > 1) {
  localStorage.setItem(KEPT, location.hash.slice(1));
  history.replaceState(null, "", "/");
}

const send = async (path, options) => {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...options.headers, "X-Rali-Key": localStorage.getItem(KEPT) ?? "" } });
  } catch {
    throw new Error("rali review does not answer: it was ended, perhaps. Marks and stars are stored.");
  }
  if (answer.ok) return answer.json();
  const text = await answer.text();
  let told = text;
  try { told = JSON.parse(text).error; } catch { /* plain text */ }
  throw new Error(told || `the server answered ${answer.status}`);
};

export const ask = (path) => send(path, {});
export const tell = (path, body) =>
  send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
