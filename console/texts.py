"""Every word of the console, English and Chinese, in one table; names of fields stay as they are in both."""

from __future__ import annotations

from typing import Any

from analytics.questions.sentences import Language

TEXTS: dict[str, tuple[str, str]] = {
    # the frame
    "range": ("Range", "时间范围"),
    "range_1h": ("the past hour", "过去 1 小时"),
    "range_24h": ("the past day", "过去 24 小时"),
    "range_7d": ("the past week", "过去 7 天"),
    "range_28d": ("the past four weeks", "过去 28 天"),
    "range_all": ("everything", "全部"),
    "filter": ("Filter", "筛选条件"),
    "joining": ("Joining traces and logs…", "正在关联追踪与日志……"),
    "bad_filter": ("The filter cannot be read.", "筛选条件无法解析。"),
    "store_down": (
        "The store does not answer: {reason}. The data folder is {folder}; `sonoscope doctor` says what is wrong, "
        "SONOSCOPE_DATA_DIR names another one.",
        "存储没有应答：{reason}。数据目录是 {folder}；运行 `sonoscope doctor` 查看原因，或用 SONOSCOPE_DATA_DIR 指定其他目录。",
    ),
    "may_not_read": (
        "This console is not on loopback, and there is no log-in yet: nobody may read here. Start it on 127.0.0.1.",
        "控制台未绑定在本机回环地址，且尚无登录功能，因此任何人都不能查看。请在 127.0.0.1 上启动。",
    ),
    "coverage": (
        "{requests} requests, {both} of them with trace and log; {running} still running",
        "{requests} 个请求，其中 {both} 个同时有追踪和日志；{running} 个仍在运行",
    ),
    "coverage_without_trace": ("{count} without trace", "{count} 个没有追踪"),
    "coverage_without_logs": ("{count} without log", "{count} 个没有日志"),
    "coverage_orphans": ("{count} lost with their process", "{count} 个随进程丢失"),
    "coverage_duplicates": ("{count} duplicate records left out", "已排除 {count} 条重复记录"),
    "coverage_retries": ("{count} retries", "{count} 次重试"),
    "coverage_unreadable": ("{count} unreadable lines", "{count} 行无法读取"),
    "synthetic_rows": ("{count} of the requests were made by tests or drills", "其中 {count} 个请求由测试或演练产生"),
    "truncated": ("The store cut the answer: there are more requests than these.", "存储截断了结果：实际请求比这里更多。"),
    "stale": ("These rows are old; the store fails: {reason}", "数据已过期，存储出错：{reason}"),
    "as_of": ("as of {time} UTC", "截至 {time}（UTC）"),
    "no_requests": (
        "No request in this range. `sonoscope demo` makes one; the data folder is {folder}.",
        "此时间范围内没有请求。运行 `sonoscope demo` 可生成一个；数据目录是 {folder}。",
    ),
    "look_at_all": ("Look at everything", "查看全部"),
    "export": ("Export", "导出"),
    "first_rows": ("the first {shown} of {all} rows", "共 {all} 行，显示前 {shown} 行"),
    # overview
    "overview": ("Overview", "总览"),
    "requests": ("Requests", "请求数"),
    "ended_well": ("Ended well", "成功"),
    "failed": ("Failed", "失败"),
    "latency_p95": ("Latency p95", "延迟 p95"),
    "drifted": ("Drift > {limit} ms", "漂移 > {limit} ms"),
    "not_sure": ("Meter not sure", "无法确定"),
    "overview_rest": (
        "Latency p50 {p50}, p99 {p99}; drift was measured in {measured} of the videos; {cancelled} cancelled.",
        "延迟 p50 {p50}，p99 {p99}；{measured} 的视频测得漂移；{cancelled} 个已取消。",
    ),
    "small_figures": ("Small figures: change against as long a time before.", "小字为与此前同样长的时间相比的变化。"),
    "rest_ended_well": ("Others that ended well", "其余成功"),
    "nothing_before": ("Nothing is known of the time before: no change is shown.", "此前没有数据，因此不显示变化。"),
    "over_time": ("Over time", "随时间变化"),
    "by_stage": ("Time by stage (ms)", "各阶段耗时（毫秒）"),
    "stage": ("stage", "阶段"),
    "beyond": ("{limit} ms", "{limit} ms"),
    "top_errors": ("Top errors", "主要错误"),
    "no_errors": ("No errors.", "没有错误。"),
    "nothing_measured": (
        "No drift was measured in these requests; sync_reason says why.",
        "这些请求都没有测得漂移，原因见 sync_reason。",
    ),
    # request
    "request": ("Request", "请求"),
    "request_id": ("Request, job or trace id", "请求、任务或追踪编号"),
    "no_such_request": ("There is no record of {id} in this store.", "存储中没有 {id} 的记录。"),
    "newest": ("The newest requests that pass the filter; choose one.", "符合筛选条件的最新请求，请选择一个。"),
    "still_running": ("This request has not ended yet.", "该请求尚未结束。"),
    "offset_help": (
        "Positive: the sound is late. Noticed from 45 ms early or 125 ms late on (ITU-R BT.1359); EBU R37 allows 40 ms early, 60 "
        "ms late.",
        "正值表示声音滞后。约超前 45 毫秒或滞后 125 毫秒时可被察觉（ITU-R BT.1359）；EBU R37 允许超前 40 毫秒、滞后 60 毫秒。",
    ),
    "usual": ("usual (ms)", "通常（毫秒）"),
    "too_few_like_it": ("Too few requests like it to say which times are usual.", "相似的请求太少，无法判断通常的耗时。"),
    "what_happened": ("What happened", "发生了什么"),
    "no_spans": (
        "No span of this trace was found: it was sampled away, or has not arrived yet.",
        "未找到该追踪的跨度：可能被采样丢弃，或尚未到达。",
    ),
    "what_was_asked": ("What was asked, and what came of it", "请求参数与结果"),
    "kind_parameter": ("Parameters", "参数"),
    "kind_outcome": ("Outcomes", "结果"),
    "kind_identity": ("Identity", "标识"),
    "how_good": ("How good it was", "质量如何"),
    "no_video": ("There is no video of this request here.", "这里没有该请求的视频。"),
    "judged": ("Last judgement: {score}; {comment}", "最近的评价：{score}；{comment}"),
    "comment": ("Comment", "评语"),
    "judge": ("Send the judgement", "提交评价"),
    "thanks": ("Noted.", "已记录。"),
    "surrounding": ("Events of the same host around the end", "同一主机在结束前后的事件"),
    "everything": ("The whole record (JSON)", "完整记录（JSON）"),
    "mouth_and_speech": ("Mouth against speech", "口型与语音"),
    "mouth": ("mouth in the picture", "画面中的口型"),
    "speech": ("what the sound says", "根据声音预期的口型"),
    "moved_by": ("The speech is drawn moved back by the offset found ({offset}).", "语音曲线已按测得的偏移（{offset}）移回。"),
    "lag": ("lag, ms (positive: sound late)", "偏移（毫秒，正值表示声音滞后）"),
    "agreement": ("agreement", "一致程度"),
    "good_twin": ("The good request that is most like it", "最相似的正常请求"),
    "twin_out_of_range": (
        "This request lies outside the range: widen it to look for its twin.",
        "该请求不在时间范围内：放宽范围后再查找。",
    ),
    "open_twin": ("Open it", "打开"),
    "advice_several_faces": ("Several faces: the largest was taken.", "图中有多张人脸：已使用最大的一张。"),
    "advice_face_turned": ("The face is turned far away: the result will look worse.", "人脸偏转过大：效果会变差。"),
    "advice_face_cut_off": ("The face is cut off by the picture's edge.", "人脸被画面边缘截断。"),
    "advice_duration_corrected": ("duration_s was set to the length of the speech.", "duration_s 已更正为语音的实际长度。"),
    # generate
    "generate": ("Generate", "生成"),
    "may_not_generate": ("You may look, but not generate.", "您只有查看权限，不能生成。"),
    "generate_hint": ("A picture with one face and a speech recording make a video.", "一张人像加一段语音即可生成视频。"),
    "portrait": ("Portrait", "人像"),
    "audio": ("Speech", "语音"),
    "more_parameters": ("More parameters", "更多参数"),
    "start": ("Make the video", "生成视频"),
    "queued": ("queued, position {position}", "排队中，位置 {position}"),
    "cancel": ("Cancel", "取消"),
    "cancelled": ("Cancelled.", "已取消。"),
    "done": ("The video is there.", "视频已生成。"),
    "open_record": ("Open its record", "打开记录"),
    "advice_low": ("{name} = {value} is low: {low} to {high} is advised.", "{name} = {value} 偏低：建议 {low} 到 {high}。"),
    "advice_high": ("{name} = {value} is high: {low} to {high} is advised.", "{name} = {value} 偏高：建议 {low} 到 {high}。"),
    # parameters
    "parameters": ("Parameters × quality", "参数与质量"),
    "outcome": ("Outcome", "结果"),
    "parameter": ("Parameter", "参数"),
    "partner": ("Together with (grid)", "联合另一参数（网格）"),
    "analysing": ("Analysing…", "正在分析……"),
    "nothing_with": ("No request has {outcome}.", "没有请求含有 {outcome}。"),
    "more_sentences": ("{count} more findings", "另有 {count} 条结论"),
    "adjusted_for_many": ("adjusted for {count} fields, listed below", "已对 {count} 个字段调整，见下表"),
    "simpson": (
        "{parameter}: raw and adjusted point to different sides; what turns it is {by}.",
        "{parameter}：未调整与调整后的方向相反；改变方向的是 {by}。",
    ),
    "by_level": ("By level of {parameter}", "按 {parameter} 的取值"),
    "each_request": ("Each request (a dot opens it)", "每个请求（点击圆点打开）"),
    "dots": ("{shown} of {all} requests are drawn", "共 {all} 个请求，绘出 {shown} 个"),
    "pair": ("{x} and {y} together", "{x} 与 {y} 的联合影响"),
    "side_by_side": ("Raw and adjusted side by side", "未调整与调整后对照"),
    "tradeoff": ("{cost} against {quality}", "{cost} 与 {quality} 的取舍"),
    # why
    "why": ("Why these?", "原因分析"),
    "up": ("Up", "纵轴"),
    "along": ("Along", "横轴"),
    "bad_ones": ("The bad ones", "有问题的请求"),
    "the_rest": ("The rest", "其余请求"),
    "why_hint": (
        "Draw a box around the bad requests, or write a filter for them: what differs in them from the rest comes below.",
        "框选有问题的请求，或为其写一个筛选条件：它们与其余请求的差异将显示在下方。",
    ),
    "compared": (
        "{bad} requests asked about, {rest} others; {fields} fields compared.",
        "所选请求 {bad} 个，其余 {rest} 个；比较了 {fields} 个字段。",
    ),
    "examples": ("Examples", "例子"),
    "counterexamples": ("With it, but not bad", "同样取值但没有问题"),
    # failures
    "failures": ("Failures", "失败"),
    "errors_over_time": ("Errors over time", "错误随时间变化"),
    "by_failed_stage": ("By failed stage", "按失败阶段"),
    "spikes_and_values": ("What stands out", "突出之处"),
    "nothing_stands_out": ("No time and no value fails surely more than the rest.", "没有任何时段或取值的失败率明显高于其余。"),
    "messages": ("Patterns of messages", "错误信息的模式"),
    # capacity
    "capacity": ("Capacity", "容量"),
    "load": ("Load (requests a minute)", "负载（每分钟请求数）"),
    "target": ("Target (s, 95 % of the requests)", "目标（秒，95 % 的请求）"),
    "replicas": ("Replicas", "副本数"),
    "seen_rate": ("Requests a minute, seen", "实际每分钟请求数"),
    "seen_replicas": ("Replicas, seen", "实际副本数"),
    "seen_utilisation": ("Busy", "忙碌比例"),
    "seen_waiting": ("Share that waits", "需等待的比例"),
    "no_device_seconds": ("No request says how long it used the device (device_s).", "没有请求记录设备用时（device_s）。"),
    "service_times": ("Service times by setting (s)", "各设置的服务时间（秒）"),
    "device_cost": ("Seconds of the device for a second of video", "每秒视频所需的设备秒数"),
    # compare
    "compare": ("Compare", "对比"),
    "nothing_to_compare": ("No request with a video passes the filter.", "没有符合筛选条件且含视频的请求。"),
    "one_input": ("One input (portrait/speech, requests)", "同一输入（人像/语音，请求数）"),
    "across": ("Across", "横向参数"),
    "down": ("Down", "纵向参数"),
    "two_in_step": ("Two of them side by side", "选择两个并排同步播放"),
    "no_videos_here": ("The videos of these requests are not here.", "这里没有这些请求的视频。"),
    "play": ("Play / pause", "播放 / 暂停"),
    "moment": ("Moment of the speech", "语音时刻"),
}
"""Key: (English, Chinese)."""


def text(key: str, language: Language, *, or_else: str | None = None, **values: Any) -> str:
    """The words of a key. Raises KeyError for an unknown key without `or_else`, and where a value is missing."""
    if key not in TEXTS and or_else is not None:
        return or_else
    return TEXTS[key][language == "zh"].format(**values)
