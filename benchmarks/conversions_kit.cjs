// The same work with Segment's mapping kit: `node conversions_kit.cjs FOLDER KIT NOW`, KIT being a folder with
// node_modules/@segment/actions-core. Maps by the kit, hashes and checks by hand; prints one JSON line.
const { createHash } = require("crypto");
const { createReadStream } = require("fs");
const { join } = require("path");
const { createInterface } = require("readline");

const [folder, kit, now] = process.argv.slice(2);
const { transform } = require(join(kit, "node_modules/@segment/actions-core/dist/cjs/mapping-kit"));

const path = (name) => ({ "@path": `$.${name}` });
const MAPPING = {
  id: path("order_id"),
  created_at: path("created_at"),
  source_url: path("page_url"),
  oppref: path("oppref"),
  email: path("customer.email"),
  phone: path("customer.phone"),
  external_id: path("customer.id"),
  first_name: path("customer.first_name"),
  last_name: path("customer.last_name"),
  country: path("customer.country"),
  city: path("customer.city"),
  postal_code: path("customer.zip"),
  ip_address: path("ip"),
  user_agent: path("user_agent"),
  amount: path("total"),
  currency: path("currency"),
  contents: {
    "@arrayPath": ["$.items", { id: path("sku"), name: path("title"), quantity: path("quantity"), amount: path("price") }],
  },
};

const digest = (text) => [createHash("sha256").update(text).digest("hex")];
const name = (text) => digest(text.toLowerCase().replace(/[\s\p{P}]/gu, ""));
const minor = (text) => Math.round(parseFloat(text) * 100);

function build(record) {
  const one = transform(MAPPING, record);
  const moment = Date.parse(one.created_at);
  if (moment < now * 1000 - 604_800_000 || moment > now * 1000 + 600_000) return null;
  return {
    id: one.id,
    type: "order_created",
    timestamp_ms: moment,
    action_source: "web",
    source_url: one.source_url.split("?")[0],
    oppref: one.oppref,
    user: {
      emails_sha256: digest(one.email.trim().toLowerCase()),
      phone_numbers_sha256: digest(one.phone.replace(/[^0-9]/g, "")),
      external_ids_sha256: digest(one.external_id.trim()),
      first_names_sha256: name(one.first_name),
      last_names_sha256: name(one.last_name),
      countries: [one.country],
      cities: [one.city],
      postal_codes: [one.postal_code],
      ip_address: one.ip_address,
      user_agent: one.user_agent,
    },
    data: {
      type: "contents",
      amount: minor(one.amount),
      currency: one.currency,
      contents: one.contents.map((item) => ({ ...item, amount: minor(item.amount) })),
    },
  };
}

async function main() {
  const start = process.cpuUsage();
  let events = 0;
  let bytes = 0;
  let batch = [];
  const flush = () => {
    bytes += Buffer.byteLength(JSON.stringify({ events: batch }));
    events += batch.length;
    batch = [];
  };
  for await (const line of createInterface({ input: createReadStream(join(folder, "orders.jsonl")) })) {
    const event = build(JSON.parse(line));
    if (event) batch.push(event);
    if (batch.length === 1000) flush();
  }
  if (batch.length) flush();
  const used = process.cpuUsage(start);
  console.log(JSON.stringify({ events, bytes, us: (used.user + used.system) / events }));
}

main();
