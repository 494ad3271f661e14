// The official Node SDK through the proxy. OPENAI_BASE_URL, OPENAI_API_KEY and MOCK_URL say where.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI, { toFile } from 'openai'
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket'

const client = new OpenAI({ maxRetries: 0 })
const model = 'gpt-4o-mini'
const messages = [{ role: 'user', content: 'Hello' }]

test('chat', async () => {
  const answer = await client.chat.completions.create({ model, messages })
  assert.match(answer.choices[0].message.content, /token bucket/)
  assert.ok(answer.usage.total_tokens > 0)
})

test('chat, streamed, without a trace of the usage that was not asked for', async () => {
  let text = ''
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    assert.ok(!('usage' in chunk))
    assert.ok(chunk.choices.length > 0)
    text += chunk.choices[0].delta.content ?? ''
  }
  assert.equal(text.trim().split(' ').length, 20)
})

test('chat, streamed, with usage', async () => {
  let usage
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } })) {
    usage = chunk.usage ?? usage
  }
  assert.equal(usage.completion_tokens, 20)
})

test('the streaming helper', async () => {
  const stream = client.chat.completions.stream({ model, messages })
  const answer = await stream.finalChatCompletion()
  assert.match(answer.choices[0].message.content, /token/)
})

const weather = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } }

test('tools', async () => {
  const asked = await client.chat.completions.create({ model, messages, tools: [weather] })
  const call = asked.choices[0].message.tool_calls[0]
  assert.equal(call.function.name, 'weather')
  JSON.parse(call.function.arguments)
  const answer = await client.chat.completions.create({ model, tools: [weather],
    messages: [...messages, asked.choices[0].message, { role: 'tool', tool_call_id: call.id, content: 'sunny' }] })
  assert.ok(answer.choices[0].message.content)
})

test('structured output', async () => {
  const schema = { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city', 'days'], additionalProperties: false }
  const answer = await client.chat.completions.create({ model, messages, response_format: { type: 'json_schema', json_schema: { name: 'trip', strict: true, schema } } })
  const trip = JSON.parse(answer.choices[0].message.content)
  assert.equal(typeof trip.city, 'string')
  assert.equal(typeof trip.days, 'number')
})

test('responses', async () => {
  const answer = await client.responses.create({ model, input: 'Hello' })
  assert.ok(answer.output_text.length > 0)
})

test('responses, streamed', async () => {
  let text = ''
  let completed = false
  for await (const event of await client.responses.create({ model, input: 'Hello', stream: true })) {
    if (event.type === 'response.output_text.delta') text += event.delta
    if (event.type === 'response.completed') completed = event.response.usage.output_tokens > 0
  }
  assert.ok(text.length > 0 && completed)
})

test('embeddings, in base64 as the SDK asks for them', async () => {
  const answer = await client.embeddings.create({ model: 'text-embedding-3-small', input: ['a', 'b'] })
  assert.equal(answer.data.length, 2)
  assert.equal(answer.data[0].embedding.length, 1536)
})

const png = () => toFile(Buffer.from('iVBORw0KGgo=', 'base64'), 'image.png', { type: 'image/png' })

test('images', async () => {
  assert.ok((await client.images.generate({ model: 'gpt-image-1', prompt: 'a cat' })).data[0].b64_json)
  assert.ok((await client.images.edit({ model: 'gpt-image-1', image: await png(), prompt: 'a hat' })).data[0].b64_json)
  assert.ok((await client.images.createVariation({ image: await png() })).data[0])
  let done = false
  for await (const event of await client.images.generate({ model: 'gpt-image-1', prompt: 'a cat', stream: true, partial_images: 1 })) {
    done = event.type === 'image_generation.completed'
  }
  assert.ok(done)
})

test('audio', async () => {
  const speech = await client.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'Hello' })
  assert.ok((await speech.arrayBuffer()).byteLength > 10_000)
  const file = () => toFile(Buffer.alloc(20_000, 1), 'speech.mp3')
  assert.ok((await client.audio.transcriptions.create({ model: 'whisper-1', file: await file() })).text)
  assert.ok((await client.audio.translations.create({ model: 'whisper-1', file: await file() })).text)
})

test('moderations and models', async () => {
  assert.equal((await client.moderations.create({ model: 'omni-moderation-latest', input: 'x' })).results.length, 1)
  assert.ok((await client.models.list()).data.length > 0)
  assert.equal((await client.models.retrieve(model)).id, model)
})

test('what is stored in three accounts is found again', async () => {
  const files = []
  for (let round = 0; round < 4; round++) {
    const lines = JSON.stringify({ custom_id: '1', method: 'POST', url: '/v1/chat/completions', body: { model, messages } })
    const file = await client.files.create({ purpose: 'batch', file: await toFile(Buffer.from(lines), 'in.jsonl') })
    assert.equal(await (await client.files.content(file.id)).text(), lines)
    const batch = await client.batches.create({ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' })
    const done = await client.batches.retrieve(batch.id)
    assert.ok((await client.files.retrieve(done.output_file_id)).id)
    const first = await client.responses.create({ model, input: 'Hello' })
    const second = await client.responses.create({ model, input: 'Again', previous_response_id: first.id })
    assert.equal((await client.responses.retrieve(second.id)).id, second.id)
    const talk = await client.conversations.create({})
    await client.conversations.items.create(talk.id, { items: [{ type: 'message', role: 'user', content: 'Hello' }] })
    await client.responses.create({ model, input: 'Hello', conversation: talk.id })
    const store = await client.vectorStores.create({ file_ids: [file.id] })
    assert.ok((await client.vectorStores.delete(store.id)).deleted)
    files.unshift(file.id)
  }
  const listed = []
  for await (const file of client.files.list({ purpose: 'batch', limit: 2 })) listed.push(file.id)
  assert.deepEqual(listed.filter((id) => files.includes(id)), files)
  for (const id of files) assert.ok((await client.files.delete(id)).deleted)
  await assert.rejects(client.files.retrieve(files[0]), OpenAI.NotFoundError)
})

test('error classes', async () => {
  await assert.rejects(new OpenAI({ apiKey: 'sk-test-nobody', maxRetries: 0 }).models.list(), OpenAI.AuthenticationError)
  await assert.rejects(client.models.retrieve('missing'), OpenAI.NotFoundError)
  await assert.rejects(client.chat.completions.create({ messages }), OpenAI.BadRequestError)
})

test('abort in the middle of a stream', async () => {
  const stream = await client.chat.completions.create({ model: 'endless', messages, stream: true })
  let chunks = 0
  for await (const _ of stream) {
    if (++chunks === 3) stream.controller.abort()
  }
  assert.ok(chunks >= 3 && chunks <= 5, `${chunks} chunks`) // what had arrived already is still handed out
})

test('realtime as in a browser, with the token in the subprotocol', async () => {
  const plain = (url) => { url.protocol = 'ws' } // the SDK asks for TLS whatever baseURL says, and here is none
  const session = new OpenAIRealtimeWebSocket({ model: 'gpt-realtime', onURL: plain }, client)
  const done = new Promise((resolve, reject) => {
    session.on('response.done', resolve)
    session.on('error', reject)
  })
  session.on('session.created', () => session.send({ type: 'response.create' }))
  assert.equal((await done).response.usage.output_tokens, 20)
  assert.equal(session.socket.protocol, 'realtime')
  const closed = new Promise((resolve) => session.socket.addEventListener('close', resolve))
  session.close({ code: 1000, reason: 'bye' })
  assert.equal((await closed).code, 1000)
})
