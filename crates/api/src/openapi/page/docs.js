// Shows a description, /openapi.json or that of the Payments API: operations by group, with parameters, schemas, examples, and a search box.
// Everything is put into the page as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "delete"];

const [FILE, OTHER] = location.pathname.endsWith("/payments")
    ? ["/openapi-payments.json", "/docs"]
    : ["/openapi.json", "/docs/payments"];

function make(name, properties, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
}

// Text in which `code` stands between backticks; an empty line begins a paragraph.
function prose(text) {
    return (text || "").split("\n\n").filter(Boolean).map((paragraph) =>
        make("p", {}, ...paragraph.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part))));
}

class Description {
    constructor(document) {
        this.document = document;
    }

    // Follows a reference, also of what may be null.
    resolve(value) {
        if (value && value.$ref) {
            const target = value.$ref.slice(2).split("/").reduce((at, key) => at[key], this.document);
            return this.resolve(target);
        }
        if (value && value.anyOf) {
            const { anyOf, ...rest } = value;
            return { ...this.resolve(anyOf.find(({ type }) => type !== "null")), ...rest };
        }
        if (value && Array.isArray(value.type)) return { ...value, type: value.type.find((type) => type !== "null") };
        return value || {};
    }

    operations() {
        const all = [];
        for (const [path, item] of Object.entries(this.document.paths)) {
            for (const method of METHODS.filter((method) => item[method])) {
                all.push({ ...item[method], method: method.toUpperCase(), path });
            }
        }
        return all;
    }

    kind(schema) {
        const resolved = this.resolve(schema);
        if (resolved.type === "array") return `list of ${this.kind(resolved.items)}`;
        const name = resolved.enum ? "word" : resolved.type || "anything";
        return resolved.format ? `${name}, ${resolved.format}` : name;
    }

    // What a value has to be, beyond its type.
    rules(schema) {
        const resolved = this.resolve(schema);
        const rules = [];
        const say = (key, text) => key in resolved && rules.push(text(resolved[key]));
        say("minLength", (n) => `at least ${n} characters`);
        say("maxLength", (n) => `at most ${n} characters`);
        say("minItems", (n) => `at least ${n} entries`);
        say("maxItems", (n) => `at most ${n} entries`);
        say("minimum", (n) => `at least ${n}`);
        say("exclusiveMinimum", (n) => `more than ${n}`);
        say("maximum", (n) => `at most ${n}`);
        say("pattern", (pattern) => `like ${pattern}`);
        say("enum", (words) => (words.length > 30 ? `one of ${words.length} words` : words.join(" | ")));
        return rules.join("; ");
    }

    // An example from the schema, for answers.
    example(schema, depth = 0) {
        const resolved = this.resolve(schema);
        if ("example" in resolved) return resolved.example;
        if (resolved.enum) return resolved.enum[0];
        switch (resolved.type) {
            case "object": {
                if (depth > 4) return {};
                const entries = Object.entries(resolved.properties || {});
                return Object.fromEntries(entries.map(([name, of]) => [name, this.example(of, depth + 1)]));
            }
            case "array": return depth > 4 ? [] : [this.example(resolved.items, depth + 1)];
            case "boolean": return true;
            case "integer": return 1;
            case "number": return 10.23;
            default: break;
        }
        const forms = { "date-time": "2027-01-31T12:00:00Z" };
        return forms[resolved.format] || "…";
    }
}

// The fields of a schema as a table; what is nested unfolds.
function fields(description, schema, depth = 0) {
    const resolved = description.resolve(schema);
    if (resolved.type === "array") return fields(description, resolved.items, depth);
    if (resolved.type !== "object" || depth > 5) return null;
    const required = resolved.required || [];
    const entries = Object.entries(resolved.properties || {});
    entries.sort(([a], [b]) => required.includes(b) - required.includes(a));
    return make("table", {}, ...entries.flatMap(([name, of]) => {
        const inner = fields(description, of, depth + 1);
        const rules = description.rules(of);
        const mark = required.includes(name) ? make("span", { className: "required" }, "required") : null;
        const about = prose(of.description || description.resolve(of).description);
        const row = make("tr", {},
            make("td", {}, make("code", {}, name), mark),
            make("td", {}, description.kind(of)),
            make("td", {}, ...about, rules ? make("div", { className: "rule" }, rules) : null));
        if (!inner) return [row];
        const summary = make("summary", {}, "fields of ", make("code", {}, name));
        const nested = make("td", { colSpan: 3, className: "nested" }, make("details", {}, summary, inner));
        return [row, make("tr", {}, nested)];
    }));
}

function code(text) {
    return make("pre", {}, make("code", {}, text));
}

function parameters(description, operation) {
    const list = (operation.parameters || []).map((parameter) => description.resolve(parameter));
    if (!list.length) return [];
    return [make("h4", {}, "Parameters"), make("table", {}, ...list.map((parameter) => {
        const rules = description.rules(parameter.schema);
        return make("tr", {},
            make("td", {}, make("code", {}, parameter.name),
                parameter.required ? make("span", { className: "required" }, "required") : null),
            make("td", {}, `${parameter.in}, ${description.kind(parameter.schema)}`),
            make("td", {}, ...prose(parameter.description), rules ? make("div", { className: "rule" }, rules) : null));
    }))];
}

function body(description, operation) {
    if (!operation.requestBody) return [];
    const { schema, example } = operation.requestBody.content["application/json"];
    return [make("h4", {}, "Body"), fields(description, schema),
        make("h4", {}, "Example"), code(curl(operation, example))];
}

function curl(operation, example) {
    const lines = [`curl -X ${operation.method} http://127.0.0.1:8080${operation.path}`,
        "-H \"X-Api-Key: $KEY\"", "-H 'Content-Type: application/json'",
        `-d '${JSON.stringify(example, null, 2)}'`];
    return lines.join(" \\\n  ");
}

function answers(description, operation) {
    const list = Object.entries(operation.responses).map(([status, answer]) => {
        const resolved = description.resolve(answer);
        const [media, content] = Object.entries(resolved.content || {})[0] || [];
        const shown = content && fields(description, content.schema);
        const headers = Object.keys(resolved.headers || {}).join(", ");
        return make("details", { className: "answer" },
            make("summary", {}, make("strong", {}, status), ` ${resolved.description}`.replaceAll("`", "")),
            make("div", { className: "rule" }, `${media || "no body"}; headers: ${headers}`),
            shown || null,
            shown ? code(JSON.stringify(description.example(content.schema), null, 2)) : null);
    });
    return [make("h4", {}, "Answers"), ...list];
}

function article(description, operation) {
    const access = operation.security.length ? "key" : "public";
    return make("article", { id: operation.operationId },
        make("header", {},
            make("span", { className: `method ${operation.method}` }, operation.method),
            make("code", { className: "path" }, operation.path),
            make("span", { className: "access" }, access)),
        make("h3", {}, make("a", { href: `#${operation.operationId}` }, operation.summary)),
        ...prose(operation.description),
        ...parameters(description, operation),
        ...body(description, operation),
        ...answers(description, operation));
}

function show(document_) {
    const description = new Description(document_);
    const [main, list] = [document.getElementById("top"), document.getElementById("list")];
    const { title, version, description: about } = document_.info;
    main.replaceChildren(make("h1", {}, `${title} ${version}`), ...prose(about),
        make("p", {}, make("a", { href: FILE }, FILE), " · the other one: ",
            make("a", { href: OTHER }, OTHER)),
        make("p", { id: "nothing", className: "hidden" }, "Nothing is found."));
    const shown = [];
    const groups = [];
    for (const tag of document_.tags) {
        const section = make("section", { className: "group" }, make("h2", {}, tag.name), ...prose(tag.description));
        const links = make("div", {}, make("h2", {}, tag.name));
        const here = description.operations().filter((operation) => operation.tags[0] === tag.name);
        for (const operation of here) {
            const card = article(description, operation);
            const link = make("a", { className: "item", href: `#${operation.operationId}`, title: operation.path },
                make("span", { className: `method ${operation.method}` }, operation.method),
                make("span", {}, operation.summary));
            section.append(card);
            links.append(link);
            const text = `${operation.method} ${operation.operationId} ${card.textContent}`.toLowerCase();
            shown.push({ card, link, text });
        }
        main.append(section);
        list.append(links);
        groups.push({ section, links });
    }
    const search = document.getElementById("search");
    const filter = () => {
        const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const { card, link, text } of shown) {
            const hidden = !words.every((word) => text.includes(word));
            card.classList.toggle("hidden", hidden);
            link.classList.toggle("hidden", hidden);
        }
        for (const { section, links } of groups) {
            const empty = !section.querySelector("article:not(.hidden)");
            section.classList.toggle("hidden", empty);
            links.classList.toggle("hidden", empty);
        }
        document.getElementById("nothing").classList.toggle("hidden", shown.some(({ card }) => !card.matches(".hidden")));
    };
    search.addEventListener("input", filter);
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

fetch(FILE)
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
    .then(show)
    .catch((error) => {
        document.getElementById("state").textContent = `The description cannot be shown: ${error.message}`;
    });
