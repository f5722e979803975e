-- Shows the chat protocol (docs/PROTOCOL.md) in Wireshark and tshark, on any port: a connection is
-- known by its first line. A connection that was open when the capture began is shown with
-- "Decode As", or with -d tcp.port==65432,chatroom.
--
-- Lines that TCP has cut are put together again. Every line is told whose connection it is on.
-- A passcode is shown as its length; its bytes stand in the packet all the same.

local chatroom = Proto("chatroom", "Chatroom")

local function text(name, title) return ProtoField.string("chatroom." .. name, title) end
local function number(name, title) return ProtoField.uint32("chatroom." .. name, title) end

local f = {
  line = text("line", "Line"),
  kind = text("kind", "Kind"),
  member = text("member", "Member of this connection"),
  request = text("request", "Request"),
  username = text("username", "Username"),
  passcode_length = number("passcode_length", "Length of the passcode"),
  token = text("token", "Token"),
  bytes_received = number("bytes_received", "Bytes received before"),
  answer = text("answer", "Answer"),
  reason = text("reason", "Reason"),
  command = text("command", "Command"),
  to = text("to", "To"),
  from = text("from", "From"),
  text = text("text", "Text"),
  users = text("users", "Active users"),
}
chatroom.fields = f

local malformed = ProtoExpert.new("chatroom.malformed", "Not a request to join",
  expert.group.MALFORMED, expert.severity.WARN)
chatroom.experts = { malformed }

local stream_field = Field.new("tcp.stream")

-- Stream -> its client's port, its member, and how far the handshake has come in each packet. Filled
-- in the first pass over the packets, in their order; later passes come in any order and only read.
local streams = {}
local first_lines = {} -- "packet:offset" of lines that are part of a handshake
local tokens = {} -- token -> whose it is

function chatroom.init()
  streams, first_lines, tokens = {}, {}, {}
end

local WORDS = { JOIN = true, ENTER = true, RESUME = true }

-- A request's parts: word, username or token, and what is behind the next blank.
local function split_request(line)
  local word, rest = line:match("^(%u+) (.*)$")
  if not WORDS[word or ""] then return nil end
  local second, third = rest:match("^([^ ]*) (.*)$")
  return word, second or rest, third
end

local function add_request(tree, range, line)
  local word, second, third = split_request(line)
  if not word or not third then
    tree:add(f.kind, range, "no request"):set_generated()
    tree:add_proto_expert_info(malformed)
    return "no request"
  end
  local at = #word + 1
  tree:add(f.kind, range, "request"):set_generated()
  tree:add(f.request, range(0, #word), word)
  if word == "RESUME" then
    tree:add(f.token, range(at, #second), second)
    tree:add(f.bytes_received, range(at + #second + 1, #third), tonumber(third) or 0)
    return "RESUME, " .. third .. " bytes received"
  end
  tree:add(f.username, range(at, #second), second)
  tree:add(f.passcode_length, range(at + #second + 1, #third), #third)
  return word .. " " .. second
end

local function add_answer(tree, range, line)
  tree:add(f.kind, range, "answer"):set_generated()
  local reason = line:match("^ERROR (.*)$")
  if reason then
    tree:add(f.answer, range(0, 5), "ERROR")
    tree:add(f.reason, range(6, #reason), reason)
    return line
  end
  tree:add(f.answer, range(0, math.min(2, #line)), line:sub(1, 2))
  local token, bytes = line:match("^OK ([^ ]+) ?(%d*)$")
  if token then tree:add(f.token, range(3, #token), token) end
  if token and bytes ~= "" then
    tree:add(f.bytes_received, range(4 + #token, #bytes), tonumber(bytes))
  end
  return line:sub(1, 2)
end

local function add_typed(tree, range, line)
  local word = line:match("^(:%a+)[ \t]*")
  local command = word and word:lower()
  local to, body = line:match("^:%a+[ \t]+([^ \t]+)[ \t]+(.*)$")
  if command == ":msg" then
    tree:add(f.kind, range, "private message"):set_generated()
    tree:add(f.command, range(0, #word), word)
    if to and #body > 0 then
      tree:add(f.to, range(line:find(to, #word + 1, true) - 1, #to), to)
      tree:add(f.text, range(#line - #body, #body), body)
    end
  elseif (command == ":users" or command == ":exit") and line:match("^:%a+[ \t]*$") then
    tree:add(f.kind, range, "command"):set_generated()
    tree:add(f.command, range(0, #word), word)
  else
    tree:add(f.kind, range, "text"):set_generated()
    if #line > 0 then tree:add(f.text, range, line) end
  end
  return line
end

-- What the server says: a pattern, the kind, and what its captures are. The first that fits is taken;
-- `* ` is how notices to a client that said ENTER begin.
local SAID = {
  { "^%[Message from ([^ ]+)%]: (.*)$", "private message", "from", "text" },
  { "^%[Message to ([^ ]+)%]: (.*)$", "private message that was sent", "to", "text" },
  { "^Active Users: (.*)$", "list of users", "users" },
  { "^([^ :]+) joined the chatroom$", "joined", "from" },
  { "^([^ :]+) left the chatroom$", "left", "from" },
  { "^(%* .*)$", "notice", "text" },
  { "^(No such user: .*)$", "notice", "text" },
  { "^(Usage: .*)$", "notice", "text" },
  { "^(Message too long .*)$", "notice", "text" },
  { "^(Server is shutting down)$", "notice", "text" },
  { "^([^ :]+): (.*)$", "text", "from", "text" },
}

local function add_said(tree, range, line)
  for _, form in ipairs(SAID) do
    local found = { line:match(form[1]) }
    if found[1] then
      tree:add(f.kind, range, form[2]):set_generated()
      local at = 1
      for place, value in ipairs(found) do
        local start = #value > 0 and line:find(value, at, true) or at
        if #value > 0 then tree:add(f[form[2 + place]], range(start - 1, #value), value) end
        at = start + #value
      end
      return line
    end
  end
  tree:add(f.kind, range, "other"):set_generated()
  return line
end

-- Whether a line is the first of its direction: found out in the first pass, and kept.
local function is_first(stream, pinfo, offset, direction)
  local key = pinfo.number .. ":" .. offset
  if not pinfo.visited and not stream[direction] then
    stream[direction] = true
    first_lines[key] = true
  end
  return first_lines[key]
end

local function add_line(tree, range, line, stream, pinfo, offset, is_client)
  local first = is_first(stream, pinfo, offset, is_client and "asked" or "answered")
  local word, second = split_request(line)
  local is_request = is_client and first
  -- A passcode, and what may be one, is in no field.
  local item = tree:add(f.line, range, is_request and (word or "") .. " …" or line)
  if is_request then
    if word and not pinfo.visited then
      stream.asked_for = word == "RESUME" and (tokens[second] or "resumed") or second
    end
    item:set_text("Line: " .. (word and word .. " …" or "not a request"))
    return add_request(item, range, line)
  elseif is_client then
    return add_typed(item, range, line)
  elseif first then
    local token = line:match("^OK ([^ ]+)")
    if line:match("^OK") and not pinfo.visited then stream.member = stream.asked_for end
    if token then tokens[token] = stream.member end
    return add_answer(item, range, line)
  end
  return add_said(item, range, line)
end

local function stream_of(pinfo)
  local id = stream_field().value
  if not streams[id] then
    -- The first packet with payload is the client's: a server waits for the request.
    streams[id] = { client_port = pinfo.src_port }
  end
  return streams[id]
end

function chatroom.dissector(buffer, pinfo, root)
  pinfo.cols.protocol = "CHAT"
  local stream = stream_of(pinfo)
  local is_client = pinfo.src_port == stream.client_port
  local whole, offset, shown = buffer:raw(), 0, {}
  while offset < #whole do
    local stop = whole:find("\n", offset + 1, true)
    if not stop then
      pinfo.desegment_offset = offset
      pinfo.desegment_len = DESEGMENT_ONE_MORE_SEGMENT
      break
    end
    local line = whole:sub(offset + 1, stop - 1):gsub("\r$", "")
    local tree = root:add(chatroom, buffer(offset, stop - offset))
    tree:append_text(is_client and ", typed" or ", shown")
    local range = #line > 0 and buffer(offset, #line) or buffer(offset, 1)
    shown[#shown + 1] = add_line(tree, range, line, stream, pinfo, offset, is_client)
    if stream.member then tree:add(f.member, stream.member):set_generated() end
    offset = stop
  end
  if #shown > 0 then pinfo.cols.info = table.concat(shown, " | ") end
  return #whole
end

local function looks_like_chat(buffer, pinfo, root)
  if not split_request(buffer:raw(0, math.min(buffer:len(), 16)) .. " ") then return false end
  chatroom.dissector(buffer, pinfo, root)
  pinfo.conversation = chatroom
  return true
end

chatroom:register_heuristic("tcp", looks_like_chat)
DissectorTable.get("tcp.port"):add_for_decode_as(chatroom)
