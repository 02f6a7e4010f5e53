// The official Node SDK against a running guard. Each check throws where it fails; one JSON object of
// {check: "ok" or what failed} is printed. GUARD is the base URL, KEY the API key, MODULES where `openai` lies.
// The models: `chat` answers, `broken` is down, `flaky` fails once, `cut` breaks off, `paused` stops mid-stream,
// `json` answers in JSON.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const OpenAI = createRequire(`${process.env.MODULES}/`)('openai').default;
const given = { baseURL: process.env.GUARD, apiKey: process.env.KEY, maxRetries: 0, timeout: 10_000 };
const client = new OpenAI(given);
const TEXT = 'Hello, wörld 🌍!';
const messages = [{ role: 'user', content: 'Say hello to me' }];
const weather = {
  name: 'weather',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
const tools = [{ type: 'function', function: weather }];

async function all(stream) {
  const got = [];
  for await (const each of stream) got.push(each);
  return got;
}

async function fails(promise, kind, code, param = null) {
  const error = await promise.then(() => assert.fail('no error'), (thrown) => thrown);
  assert.equal(error.constructor, kind, `${error}`);
  assert.equal(error.code, code);
  assert.equal(error.param, param);
  assert.match(error.requestID, /^req_[0-9a-f]{32}$/);
  return error;
}

const checks = {
  async chat() {
    const { data, response, request_id } = await client.chat.completions.create({ model: 'chat', messages, n: 2 }).withResponse();
    assert.deepEqual(data.choices.map((choice) => choice.message.content), [TEXT, TEXT]);
    assert.deepEqual([data.model, data.usage.total_tokens], ['chat', 16]);
    assert.equal(data.id, `chatcmpl-${request_id.slice(4)}`);
    assert.match(response.headers.get('openai-processing-ms'), /^\d+$/);
  },

  async stream() {
    const asked = { model: 'chat', messages, stream: true };
    const without = await all(await client.chat.completions.create(asked));
    assert.equal(without.map((chunk) => chunk.choices[0].delta.content ?? '').join(''), TEXT);
    assert(without.every((chunk) => !('usage' in chunk)));
    const chunks = await all(await client.chat.completions.create({ ...asked, stream_options: { include_usage: true } }));
    const last = chunks.pop();
    assert(chunks.every((chunk) => chunk.usage === null));
    assert.deepEqual([last.choices, last.usage.total_tokens], [[], 10]);
    const helper = client.chat.completions.stream({ model: 'chat', messages });
    assert.equal(await helper.finalContent(), TEXT);
  },

  async tools() {
    const { message, finish_reason } = (await client.chat.completions.create({ model: 'chat', messages, tools })).choices[0];
    assert.equal(finish_reason, 'tool_calls');
    const [call] = message.tool_calls;
    assert.match(call.id, /^call_[0-9a-f]{24}$/);
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Zürich' });
    const told = { role: 'tool', tool_call_id: call.id, content: 'sunny' };
    const history = [...messages, message, told];
    const next = await client.chat.completions.create({ model: 'chat', messages: history, tools, tool_choice: 'none' });
    assert.equal(next.choices[0].message.content, TEXT);
  },

  async streamed_tools() {
    const helper = client.chat.completions.stream({ model: 'chat', messages, tools });
    const { message } = (await helper.finalChatCompletion()).choices[0];
    const [call] = message.tool_calls;
    assert.match(call.id, /^call_[0-9a-f]{24}$/);
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Zürich' });
    const told = { role: 'tool', tool_call_id: call.id, content: 'sunny' };
    const next = await client.chat.completions.create({ model: 'chat', messages: [...messages, message, told] });
    assert.equal(next.choices[0].message.content, TEXT);
  },

  async run_tools() {
    // The fake calls its tool each time: the second round shows that the helper's own history is taken.
    for (const stream of [false, true]) {
      const cities = [];
      const run = ({ city }) => (cities.push(city), 'sunny');
      const tool = { type: 'function', function: { ...weather, function: run, parse: JSON.parse } };
      const runner = client.chat.completions.runTools({ model: 'chat', messages, tools: [tool], stream }, { maxChatCompletions: 2 });
      await runner.done();
      assert.deepEqual(cities, ['Zürich', 'Zürich']);
    }
  },

  async parse_and_back() {
    const response_format = { type: 'json_schema', json_schema: { name: 'city', schema: weather.parameters, strict: true } };
    const parsed = await client.chat.completions.parse({ model: 'json', messages, response_format });
    assert.deepEqual(parsed.choices[0].message.parsed, { city: 'Zürich' });
    const history = [...messages, parsed.choices[0].message, { role: 'user', content: 'Sure?' }];
    assert.equal((await client.chat.completions.create({ model: 'chat', messages: history })).choices[0].message.content, TEXT);
  },

  async completions() {
    const whole = await client.completions.create({ model: 'chat', prompt: 'one two' });
    assert.deepEqual([whole.choices[0].text, whole.usage.prompt_tokens], [TEXT, 2]);
    const chunks = await all(await client.completions.create({ model: 'chat', prompt: 'x', stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), TEXT);
  },

  async responses() {
    const whole = await client.responses.create({ model: 'chat', input: 'Say hello' });
    assert.deepEqual([whole.output_text, whole.status, whole.usage.total_tokens], [TEXT, 'completed', 8]);
    const events = await all(await client.responses.create({ model: 'chat', input: 'x', stream: true }));
    assert.deepEqual([events[0].type, events.at(-1).type], ['response.created', 'response.completed']);
    const helper = client.responses.stream({ model: 'chat', input: 'x' });
    assert.equal((await helper.finalResponse()).output_text, TEXT);
  },

  async responses_tools() {
    const flat = [{ type: 'function', strict: true, ...weather }];
    for (const ask of [(asked) => client.responses.create(asked), (asked) => client.responses.stream(asked).finalResponse()]) {
      const first = await ask({ model: 'chat', input: 'x', tools: flat });
      const [call] = first.output;
      assert.deepEqual([call.type, JSON.parse(call.arguments)], ['function_call', { city: 'Zürich' }]);
      const told = { type: 'function_call_output', call_id: call.call_id, output: 'sunny' };
      const input = [{ role: 'user', content: 'x' }, ...first.output, told];
      assert.equal((await client.responses.create({ model: 'chat', input })).output_text, TEXT);
    }
  },

  async models() {
    assert.deepEqual((await all(client.models.list())).map((model) => model.id).slice(0, 2), ['chat', 'org/model']);
    assert.equal((await client.models.retrieve('org/model')).id, 'org/model');
  },

  async errors() {
    const ask = (more) => client.chat.completions.create({ model: 'chat', messages, ...more });
    await fails(ask({ guided_regex: 'x' }), OpenAI.BadRequestError, 'unknown_parameter', 'guided_regex');
    await fails(ask({ model: 'none' }), OpenAI.NotFoundError, 'model_not_found', 'model');
    await fails(new OpenAI({ ...given, apiKey: 'wrong' }).models.list(), OpenAI.AuthenticationError, 'invalid_api_key');
    await fails(client.embeddings.create({ model: 'chat', input: 'x' }), OpenAI.PermissionDeniedError, 'embeddings_not_exported');
    await fails(client.batches.retrieve('batch-1'), OpenAI.NotFoundError, 'unknown_url');
    await fails(ask({ model: 'broken' }), OpenAI.InternalServerError, 'upstream_error');
    await fails(ask({ model: 'broken', stream: true }), OpenAI.InternalServerError, 'upstream_error');
    const large = [{ role: 'user', content: 'x'.repeat(20_000_000) }];
    const error = await fails(ask({ messages: large }), OpenAI.APIError, 'request_too_large');
    assert.equal(error.status, 413);
  },

  async retries() {
    const patient = new OpenAI({ ...given, maxRetries: 2 });
    const answer = await patient.chat.completions.create({ model: 'flaky', messages });
    assert.equal(answer.choices[0].message.content, TEXT);
    await fails(patient.embeddings.create({ model: 'chat', input: 'x' }), OpenAI.PermissionDeniedError, 'embeddings_not_exported');
  },

  async broken_streams() {
    const asked = { model: 'cut', stream: true };
    for (const stream of [
      await client.chat.completions.create({ ...asked, messages }),
      await client.completions.create({ ...asked, prompt: 'x' }),
      await client.responses.create({ ...asked, input: 'x' }),
    ]) {
      const error = await fails(all(stream), OpenAI.APIError, 'upstream_error');
      assert.match(error.message, /The model could not answer/);
    }
  },

  async abort() {
    const stream = await client.chat.completions.create({ model: 'paused', messages, stream: true });
    for await (const chunk of stream) {
      assert.equal(chunk.model, 'paused');
      break; // the SDK closes the connection
    }
    const other = await client.chat.completions.create({ model: 'paused', messages, stream: true });
    for await (const _ of other) other.controller.abort();
  },
};

const outcome = {};
for (const [name, check] of Object.entries(checks)) {
  outcome[name] = await check().then(() => 'ok', (error) => `${error?.stack ?? error}`);
}
console.log(JSON.stringify(outcome));
