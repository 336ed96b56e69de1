"""What request bodies of the emulated OpenAI may hold, as types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

_Text = Annotated[str, Meta(max_length=10_485_760)]
_Ratio = Annotated[float, Meta(ge=0, le=1)]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
_Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_Verbosity = Literal["low", "medium", "high"]
_Object = dict[str, Any]


class _Strict(Struct, forbid_unknown_fields=True):
    pass


class _Policy(_Strict):
    mode: Literal["score", "block"]


class _Policies(_Strict):
    input: _Policy | None = None
    output: _Policy | None = None


class _Moderation(_Strict):
    model: str
    policy: _Policies | None = None


class _Cache(_Strict):
    mode: Literal["implicit", "explicit"] | None = None
    ttl: Literal["30m", "12h"] | None = None
    prewarm: bool | None = None
    comparison_response_id: str | None = None


class _Shared(_Strict, kw_only=True):
    """What responses and chat have in common."""

    model: str
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: _Ratio | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    parallel_tool_calls: bool | None = None
    store: bool | None = None
    stream: bool | None = None
    service_tier: Literal["auto", "default", "flex", "priority", "fast", "scale", "ultrafast"] | None = None
    metadata: _Metadata | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: _Cache | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    safety_identifier: Annotated[str, Meta(max_length=128)] | None = None
    moderation: _Moderation | None = None
    user: str | None = None


class _Reasoning(_Strict):
    effort: _Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    mode: Literal["standard", "pro"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None


class _Format(_Strict):
    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] | None = None
    description: str | None = None
    schema: _Object | None = None
    strict: bool | None = None


class _TextSettings(_Strict):
    format: _Format | None = None
    verbosity: _Verbosity | None = None


class _Reference(_Strict):
    id: str


class _ResponseStream(_Strict):
    include_obfuscation: bool | None = None


class _Response(_Shared, kw_only=True):
    input: _Text | list[_Object] | None = None
    instructions: _Text | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    reasoning: _Reasoning | None = None
    text: _TextSettings | None = None
    tools: list[_Object] | None = None
    tool_choice: str | _Object | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    previous_response_id: str | None = None
    conversation: str | _Reference | None = None
    background: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    context_management: list[_Object] | None = None
    image: _Object | None = None
    prompt: _Object | None = None
    stream_options: _ResponseStream | None = None


class _InputTokens(_Strict):
    model: str
    input: _Text | list[_Object] | None = None
    instructions: _Text | None = None
    tools: list[_Object] | None = None
    tool_choice: str | _Object | None = None
    text: _TextSettings | None = None
    reasoning: _Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    conversation: str | _Reference | None = None
    personality: str | None = None


class _Compact(_Strict):
    model: str
    input: _Text | list[_Object] | None = None
    instructions: _Text | None = None
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: _Cache | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    service_tier: Literal["auto", "default", "flex", "priority", "fast"] | None = None
    image: _Object | None = None


class _Conversation(_Strict):
    items: Annotated[list[_Object], Meta(max_length=20)] | None = None
    metadata: _Metadata | None = None


class _ConversationItems(_Strict):
    items: Annotated[list[_Object], Meta(max_length=20)]


class _StoredChat(_Strict):
    metadata: _Metadata | None


class _TextPart(Struct, tag="text", tag_field="type"):
    text: str


class _Url(_Strict):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class _ImagePart(Struct, tag="image_url", tag_field="type"):
    image_url: _Url


class _AudioPart(Struct, tag="input_audio", tag_field="type"):
    input_audio: _Object


class _FilePart(Struct, tag="file", tag_field="type"):
    file: _Object


class _RefusalPart(Struct, tag="refusal", tag_field="type"):
    refusal: str


class _Developer(_Strict, tag="developer", tag_field="role"):
    content: str | list[_TextPart]
    name: str | None = None


class _System(_Strict, tag="system", tag_field="role"):
    content: str | list[_TextPart]
    name: str | None = None


class _User(_Strict, tag="user", tag_field="role"):
    content: str | list[_TextPart | _ImagePart | _AudioPart | _FilePart]
    name: str | None = None


class _CalledFunction(_Strict):
    name: str
    arguments: str


class _ToolCall(Struct):
    id: str
    type: Literal["function", "custom"]
    function: _CalledFunction | None = None


class _Assistant(Struct, tag="assistant", tag_field="role"):
    content: str | list[_TextPart | _RefusalPart] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _CalledFunction | None = None


class _Tool(_Strict, tag="tool", tag_field="role"):
    content: str | list[_TextPart]
    tool_call_id: str


class _Function(_Strict, tag="function", tag_field="role"):
    content: str | None
    name: str


class _DeclaredFunction(_Strict):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: _Object | None = None
    strict: bool | None = None


class _ChatTool(_Strict, tag="function", tag_field="type"):
    function: _DeclaredFunction


class _CustomTool(Struct, tag="custom", tag_field="type"):
    custom: _Object


class _ChatFormat(_Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Object | None = None


class _ChatStream(_Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Chat(_Shared, kw_only=True):
    messages: Annotated[list[_Developer | _System | _User | _Assistant | _Tool | _Function], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    response_format: _ChatFormat | None = None
    reasoning_effort: _Effort | None = None
    functions: Annotated[list[_DeclaredFunction], Meta(min_length=1, max_length=128)] | None = None
    function_call: str | _Object | None = None
    tools: Annotated[list[_ChatTool | _CustomTool], Meta(max_length=128)] | None = None
    tool_choice: str | _Object | None = None
    verbosity: _Verbosity | None = None
    prediction: _Object | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: _Object | None = None
    web_search_options: _Object | None = None
    stream_options: _ChatStream | None = None


class _Completion(_Strict, kw_only=True):
    model: str
    prompt: str | list[str | int | list[int]]
    suffix: str | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: _Ratio | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: _ChatStream | None = None
    user: str | None = None


class _Decision(_Strict):
    model: str
    input: _Text | list[_Object] | None = None
    questions: list[_Object] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: _Cache | None = None
    safety_identifier: Annotated[str, Meta(max_length=128)] | None = None


class _Embedding(_Strict):
    model: str
    input: str | list[Any] | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class _ModerationRequest(_Strict):
    input: str | list[str | _Object] | None = None
    model: str | None = None


class _InputMessage(_Strict):
    role: Literal["user", "system", "developer", "assistant"]
    content: str | list[_Object]
    type: str | None = None
    id: str | None = None
    status: str | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class _FunctionCall(Struct):
    call_id: str
    name: str
    arguments: str


class _FunctionOutput(Struct):
    call_id: str
    output: str | list[_Object]


class _ItemReference(Struct):
    id: str


class _Compaction(Struct):
    encrypted_content: str


class _ReasoningItem(Struct):
    id: str | UnsetType = UNSET
    summary: list[_Object] = []


class ResponseFunction(_Strict):
    """A function tool of responses."""

    type: str
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    parameters: _Object | None = None
    strict: bool | None = None
    description: str | None = None


BODIES: dict[str, type[Struct]] = {
    "responses": _Response,
    "chat": _Chat,
    "completions": _Completion,
    "decisions": _Decision,
    "embeddings": _Embedding,
    "moderations": _ModerationRequest,
    "input_tokens": _InputTokens,
    "compact": _Compact,
    "conversations": _Conversation,
    "conversations.items": _ConversationItems,
    "chat.update": _StoredChat,
}
ITEMS: dict[str, type[Struct]] = {
    "message": _InputMessage,
    "function_call": _FunctionCall,
    "function_call_output": _FunctionOutput,
    "item_reference": _ItemReference,
    "compaction": _Compaction,
    "reasoning": _ReasoningItem,
}
