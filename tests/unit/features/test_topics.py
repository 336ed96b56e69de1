import pytest

from penstock.features.topics import DEFAULT_TOPICS, check_topics, find_special_category

SPECIAL = {
    "health": ["health", "Health & beauty", "medical advice", "Gesundheit", "santé", "salud", "salute", "saúde",
               "zdrowie", "gezondheid", "Schwangerschaft", "allergies", "sağlık", "здоровье", "健康", "病気", "건강"],
    "religion": ["religion", "Church visits", "Kirche", "église", "religión", "religione", "kościół", "宗教", "Glaube"],
    "politics": ["politics", "political views", "Politik", "politique", "política", "polityka", "voting", "政治"],
    "sex life": ["sex life", "sexual orientation", "Sexualität", "orientation", "vie sexuelle", "LGBT",
                 "homosexuality"],
    "union membership": ["trade union", "Gewerkschaft", "syndicat", "sindicato", "sindacato", "vakbond", "工会"],
    "ethnicity": ["ethnicity", "race", "skin colour", "Ethnie", "origine ethnique", "etnia", "Nationalität", "民族"],
}  # fmt: skip

HARMLESS = [
    "delivery", "electronics", "unisex sizes", "politeness of staff", "patient staff", "reunion offers", "racing bikes",
    "credit cards", "Western shirts", "Lieferung", "livraison", "entrega", "consegna", "tempo di risposta", "配送",
    "価格", "sizes", "communication", "sextet music", "Retoure", "support", "glass", "faithful colours",
]  # fmt: skip


@pytest.mark.parametrize(("category", "topic"), [(name, topic) for name, some in SPECIAL.items() for topic in some])
def test_a_special_category_is_recognised_in_many_languages(category: str, topic: str) -> None:
    assert find_special_category(topic) == category


@pytest.mark.parametrize("topic", [*HARMLESS, *DEFAULT_TOPICS, *DEFAULT_TOPICS.values()])
def test_what_shops_are_told_about_is_allowed(topic: str) -> None:
    assert find_special_category(topic) is None


def test_a_special_category_hidden_in_what_a_topic_covers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"health.*GDPR Art\. 9"):
        check_topics({"other": "illness of the customer"})


@pytest.mark.parametrize(
    "topics", [{"": ""}, {"a" * 61: ""}, {"a\u202eb": ""}, {"Price": "", "price ": ""}, {str(n): "" for n in range(41)}]
)
def test_a_topic_that_is_empty_long_unprintable_or_double_is_refused(topics: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="topic"):
        check_topics(topics)


def test_the_default_topics_pass_their_own_check() -> None:
    assert check_topics(DEFAULT_TOPICS) == DEFAULT_TOPICS
