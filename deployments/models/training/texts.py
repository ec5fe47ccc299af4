"""What the training voices say: English and Mandarin sentences written for this project, with every sound of both languages."""

from __future__ import annotations

HELD_OUT_EVERY = 8
"""Each eighth sentence is never trained on."""

ENGLISH = """
The market opens at six, long before the buses begin to run.
My brother bought a purple umbrella and lost it the same afternoon.
Could you please move the table a little closer to the window?
We have been waiting for the bread to rise since early morning.
Both of them promised to bring maps, but nobody remembered.
The committee approved the budget after a brief and friendly debate.
Watch how the paint changes colour when the sun comes out.
She washed five white shirts and hung them by the old pear tree.
A pale moon hung above the harbour while the boats came home.
Why would you choose the blue one if you prefer the green?
Measure the flour twice, then fold in the butter and the sugar.
He whistled softly, put on his boots, and walked into the snow.
The museum shows paintings, photographs and a room full of clocks.
Please press the button once and wait for the lamp to blink.
Maybe we should move the meeting to Wednesday at half past two.
Farmers in the valley grow apples, plums, beans and barley.
The pump stopped, the lights went off, and everybody laughed.
I would rather walk than wait for another crowded bus.
Put the box on the bottom shelf, behind the paper bags.
Few people have ever seen this bird outside the breeding season.
The weather will be warm and humid, with rain toward evening.
What a beautiful view you have from up here!
Sam and Emma baked a plum pie for the baby's birthday.
The judge asked for silence, and the room became perfectly still.
Bring me a cup of coffee and a map of the northern province.
They built a bamboo bridge that swayed whenever somebody crossed.
In the first chapter the author remembers her childhood by the sea.
The engine makes a humming noise when the temperature drops.
No, I do not think that they knew about the problem before Monday.
Every summer the swimming pool attracts families from the whole town.
Should I answer the phone or let it ring?
Zebras and giraffes share the shade of one enormous tree.
The choir rehearses in the basement of the music school.
Look at those shoes; who would pay a thousand for a pair like that?
Ten thousand small mirrors covered the ceiling of the ballroom.
My grandmother used to mend pumps, motors and bicycles.
Thank you for calling, I will be with you in a moment.
Their theory was thorough, though nobody thought it through.
The purpose of the experiment is to measure how plants respond to music.
Open the map, find the bridge, and follow the path up the hill.
A warm wind blew from the west and moved the curtains.
Bob's moped bumped over the cobbles and splashed through a puddle.
Usually the garage closes at seven, but today it stays open.
The jam is in the cupboard above the microwave oven.
You may remember the promise that we made a few months ago.
Seven ships were seen sailing south past the sandy shore.
How many members of the team have read the whole report?
The opera begins with a slow march for trumpets and drums.
If the pipe bursts again, please call the plumber at once.
A bee landed on my palm and remained there, perfectly calm.
Our new neighbour plays the oboe, often after midnight.
Yesterday's storm blew the roof off the old farmhouse.
Peter packed a pepper mill, a piece of cheese and a bottle of milk.
The young woman waved, and the ferry moved away from the pier.
What time does the last train leave for the airport?
I am fairly sure that he meant Thursday and not Tuesday.
Good morning, and welcome to the evening edition of the news.
Wood, wool and water were all that they could trade.
A famous poet lived here between the two wars.
Remove the cover, wipe the lens, and mount the camera again.
Bubbles formed on the surface as the soup began to boil.
Do you believe that machines will ever compose good music?
The brave puppy jumped over the fence and chased the rabbit.
Prices rose by four point five percent in the month of November.
All of us were impressed by the calm voice of the pilot.
Few films have moved me as much as this simple story.
The village lies in a broad valley surrounded by beech woods.
Let me show you a better way to wrap a present.
Each page of the book has a map of a different empire.
Her job is to compare samples from both sides of the river.
We moved the piano to the upper floor, which took all morning.
The thief threw three keys through the open window.
Perhaps tomorrow we may be able to swim beyond the buoy.
A dozen fishermen pulled the heavy boat up the beach.
The bishop blessed the bells before they were raised.
He mumbled something about a broken promise and left.
Combine the powder with warm water and stir until smooth.
The wolf waited, watching the lambs from the edge of the wood.
Our plan is simple: more buses, fewer cars, and better paths.
Oh, I am so sorry, I did not mean to step on your foot.
From the top of the tower you can see five villages.
The company employs about two hundred people in the summer.
Which of the two roads would you recommend to a beginner?
Bamboo grows faster than any tree that I know of.
Push the door, do not pull it.
You were right about the rumour, and I was wrong.
The moth moved around the lamp in ever smaller circles.
Everything depends upon the amount of memory that you have.
The doctor put a plaster on my thumb and told me to be brave.
Autumn brings mushrooms, apples and long quiet evenings.
This method works best when both samples have the same size.
Mammals, birds and a few fishes keep a steady temperature.
Above the fireplace hangs a portrait of a man with a beard.
The boy with the yellow hat is my cousin from Toronto.
My favourite pupil plays the bassoon and the double bass.
In June the whole family moves to a farm by the lake.
A simple apple pie needs only five ingredients.
Do not feed the pigeons, they become a problem in spring.
The map was wrong, so we walked for hours through empty fields.
She has a very soft voice, but everyone listens to her.
Put your thumb here and push until you feel it move.
Any number between nine and ninety may be used.
The orchestra tuned up while people looked for their places.
His uncle used to shoe horses and repair church organs.
Warm milk with honey helps many people to fall asleep.
A bus, a bike and a pram blocked the narrow bridge.
The council voted against the proposal by a small majority.
They both blamed the computer, which had done nothing wrong.
Tell me more about your family and where you come from.
Imagine a room in which every object whispers its own name.
Breathe in, hold your breath, and now breathe out slowly.
The umpire lifted his arm and the match was over.
Some birds sleep with one eye open and half of the brain awake.
Over the river and through the woods we hurried home.
Maria, have you ever been to Bombay or Baghdad?
The lamp above the table flickers when the fridge comes on.
Four of the five problems could have been avoided.
The mayor's speech was short, warm and full of hope.
We hope that you enjoy the show; please switch off your phones.
He put the vase on the piano and stepped back to admire it.
"""

MANDARIN = """
今天早上我们去公园跑步，空气非常新鲜。
妈妈买了八个苹果和一把葡萄。
请把门关上，外面的风太大了。
他每天骑自行车上班，大概需要半个小时。
这本书写得很好，我已经看了两遍。
明天下午三点我们在会议室开会。
爸爸不喜欢喝咖啡，他比较喜欢喝茶。
北京的冬天很冷，但是房间里很暖和。
我弟弟想买一部新的手机，可是太贵了。
这个问题没有那么简单，我们需要再想一想。
飞机马上就要起飞了，请系好安全带。
你能不能帮我把这个包裹寄到上海？
他们一边走路一边唱歌，高兴极了。
我非常抱歉，昨天没有给你打电话。
奶奶在门口种了一棵苹果树。
请问，去火车站怎么走？
朋友们都说这部电影很有意思。
他把帽子放在沙发上，忘记带走了。
雨下得很大，我们只好待在家里。
为了保护环境，我们应该少用塑料袋。
这条河的水很清，可以看见水里的鱼。
我爷爷八十八岁了，身体还很棒。
孩子们在操场上踢足球，玩得满头大汗。
虽然路很远，但是他每个星期都回家看父母。
你喜欢吃米饭还是面条？
老师让我们把课文背下来。
他说话的声音很小，我听不清楚。
平时我很少看电视，一般只看新闻。
这家饭馆的包子比别的地方好吃。
飘在天上的白云像一群绵羊。
公司明年准备在南方开一家新工厂。
我们坐船过河，对面就是一片森林。
她不但会说英语，而且会说日语。
门票一百八十块，学生半价。
吃饭以前别忘了洗手。
那个穿白衣服的女孩是我的同学。
爬山的时候要注意安全，不要跑得太快。
我把钥匙忘在办公室里了。
昨天的比赛非常精彩，双方打成平手。
春天到了，花园里的花都开了。
他买票买得太晚，没有赶上飞机。
你吃过北京烤鸭没有？
这座桥是一百多年以前修的。
麻烦你把音乐的声音关小一点儿。
医生说他没有什么大问题，休息几天就好了。
我们班一共有四十四个学生。
冰箱里还有一瓶牛奶和半个面包。
他跑步跑了一个小时，满脸通红。
妹妹把漂亮的贝壳放进玻璃瓶里。
世界上没有两片完全一样的叶子。
图书馆晚上九点半关门。
这幅画表现了农民秋天收获的情景。
请您先填一下这张表。
我不明白你为什么不愿意参加。
白色的小猫趴在窗户旁边睡觉。
人们常说，百闻不如一见。
月亮慢慢地从东边升起来了。
他的普通话说得很标准。
火车穿过一片绿色的平原。
我们应该互相帮助，一起进步。
妈妈，你看，那边有一匹白马！
银行和邮局都在这条马路的左边。
别怕，这只狗从来不咬人。
科学家发现了一种新的病毒。
下个月我打算去云南旅行。
他拍了拍我的肩膀，什么也没说。
中午太热，我们等到傍晚再出发吧。
这种药一天吃三次，每次两片。
我姐姐在一家报社当编辑。
半夜里突然响起了敲门声。
小朋友，你叫什么名字？
桌子上摆着一盆红色的梅花。
他们把老房子改成了博物馆。
没关系，慢慢来，我们有的是时间。
大雪封山，村民们靠步行把粮食背上去。
不管怎么样，我们都不能放弃。
他把包放下，擦了擦脸上的汗。
这张照片是我父亲年轻的时候拍的。
面包刚刚烤好，闻起来很香。
我希望你们能平平安安地回来。
动物园里的熊猫宝宝满三个月了。
每个民族都有自己的文化和风俗。
昨晚的月光像水一样明亮。
经理，您的客人已经到了。
我把电脑里的文件备份了一遍。
秋天的风把树叶吹得满地都是。
他毕业以后留在母校教书。
谢谢大家的支持和帮助。
这个办法比以前的办法更有效。
喂，您好，请问王先生在吗？
鱼肉和青菜比肥肉对身体好。
五月份的时候，草莓最便宜。
老板，这把雨伞多少钱？
明明是你的错，为什么不承认呢？
病人的体温已经恢复正常了。
红灯停，绿灯行，黄灯亮了等一等。
远处传来一阵悠扬的笛声。
我宁愿步行，也不愿意坐那么挤的公共汽车。
"""


def _lines(block: str) -> tuple[str, ...]:
    return tuple(line for line in block.strip().splitlines() if line)


def training_texts(language: str) -> tuple[str, ...]:
    """Sentences to train on: `language` "en" or "zh"."""
    return tuple(text for i, text in enumerate(_lines(_BLOCKS[language])) if i % HELD_OUT_EVERY)


def held_out_texts(language: str) -> tuple[str, ...]:
    """Sentences never trained on: `language` "en" or "zh"."""
    return _lines(_BLOCKS[language])[::HELD_OUT_EVERY]


_BLOCKS = {"en": ENGLISH, "zh": MANDARIN}
