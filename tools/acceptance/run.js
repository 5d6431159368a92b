// Runs the public acceptance suite of the Payments API against a server, and scores whole folders.
//
//   node run.js URL ADMIN_KEY COLLECTION [GREEN] [ASSERTIONS]
//
// Ends with 1 if fewer folders than GREEN are wholly green, or fewer assertions than ASSERTIONS ran: many of
// the suite's checks are only made if an earlier answer had the right fields.
"use strict";
const newman = require("newman");

const [url, admin, collection, green = "0", assertions = "0"] = process.argv.slice(2);
const given = {
  baseUrl: url, admin_api_key: admin, connector_api_key: "sk_sim", connector_key1: "k1",
  gateway_merchant_id: "gm", certificate: "c", certificate_keys: "ck",
};
const envVar = Object.entries(given).map(([key, value]) => ({ key, value }));

// The folder of each request, by its id.
function folders(items, path, found) {
  for (const item of items) {
    if (item.item) folders(item.item, [...path, item.name], found);
    else found.set(item.id, path.join(" / "));
  }
  return found;
}

newman.run({ collection, envVar, delayRequest: 1, reporters: [] }, (error, summary) => {
  if (error) {
    console.error(String(error));
    process.exit(1);
  }
  const of = folders(summary.collection.toJSON().item, [], new Map());
  const scores = new Map();
  for (const { item, assertions: made, response } of summary.run.executions) {
    const score = scores.get(of.get(item.id)) ?? { made: 0, failed: [] };
    scores.set(of.get(item.id), score);
    for (const { assertion, error: fault } of made ?? []) {
      score.made += 1;
      if (fault) score.failed.push(`${item.name} (${response?.code}): ${assertion}: ${fault.message}`);
    }
  }
  let good = 0;
  let total = 0;
  for (const [name, { made, failed }] of scores) {
    total += made;
    if (failed.length === 0) good += 1;
    console.log(`${failed.length === 0 ? "green" : "RED  "}  ${name}  (${made} assertions)`);
    for (const line of failed.slice(0, 2)) console.log(`         ${line.slice(0, 160)}`);
  }
  console.log(`${good} of ${scores.size} folders green, ${total} assertions`);
  process.exit(good >= Number(green) && total >= Number(assertions) ? 0 : 1);
});
